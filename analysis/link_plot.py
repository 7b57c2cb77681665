"""The network of a run with what its links carried.

In: a `Drawing`, each direction's `Use`. Out: a painted figure and its caption. Owns the look of a used link:
each half of it is the direction that begins at its end, wider and darker the more of the asked rate it used.
A network with many links is drawn without figures: the report's table has those of the busiest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.drawing import Drawing, End
from analysis.link_usage import Use
from analysis.network_plot import draw_nodes, extent, node_legend, plain, prepare
from analysis.style import AMOUNT, colour_of

PANELS = 6  # paths that are drawn
LABELLED_LINKS, _LABELLED_WIDTH = 32, 14  # up to which figures stand at links: how many, and nodes abreast

_WIDE_INCHES, _LABELLED_INCHES, _PLAIN_INCHES = 10.6, 1.15, 0.75  # the whole; a node's share
_UNRATED, _IDLE = "#777777", "#bbbbbb"
_THIN, _THICK = 0.8, 5.0
_ABOVE = 0.55  # free space, also for a link that bends
_LABEL_AT = (0.31, 0.38, 0.25, 0.44, 0.19)  # of the way to the other end: the first that is free
_LABEL_INCHES = 0.42, 0.24
_LEGIBLE = 4.0  # points
_TOLD = 0.005  # of what a link could carry: less is left to the table
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Scale:
    """How a figure is laid out."""

    inches: float
    labels: bool
    columns: int
    fastest_bps: float


def paint(
    figure: Figure, drawing: Drawing, found: Sequence[Use], labels: Mapping[str, str], seconds: str
) -> str:
    """A panel a path, in the order of `labels`, which has those of paths. Returns the caption, which begins
    with `seconds`."""
    used = {use.path for use in found}
    paths = [path for path in labels if path in used][:PANELS]
    scale = _scale(drawing, found, len(paths))
    _set_size(figure, drawing, scale, len(paths))
    rows = -(-len(paths) // scale.columns)
    panels = list(figure.subplots(rows, scale.columns, squeeze=False).flat)
    for axes, path in zip(panels, paths, strict=False):
        prepare(axes, drawing, _ABOVE)
        axes.set_title(plain(labels[path]), pad=2, color=colour_of(path, paths))
        _Panel(axes, drawing, [use for use in found if use.path == path], scale).draw()
    for axes in panels[len(paths) :]:
        axes.set_axis_off()
    _legend(figure, drawing, found)
    return _caption(seconds, scale.labels, any(use.asked_bps for use in found))


def _scale(drawing: Drawing, found: Sequence[Use], panels: int) -> _Scale:
    width = extent(drawing)[0] + 2
    labels = len(drawing.links) <= LABELLED_LINKS and width <= _LABELLED_WIDTH
    inches = min(_LABELLED_INCHES if labels else _PLAIN_INCHES, _WIDE_INCHES / width)
    columns = max(1, min(panels, int(_WIDE_INCHES / (inches * width))))
    fastest_bps = max((use.rate_bps for use in found if not use.asked_bps), default=0.0)
    return _Scale(inches, labels, columns, fastest_bps)


def _set_size(figure: Figure, drawing: Drawing, scale: _Scale, panels: int) -> None:
    width, height = extent(drawing)
    rows = -(-panels // scale.columns)
    wide = max(6.0, scale.columns * scale.inches * (width + 2))
    rated = 0.7 if any(link.rate_bps for link in drawing.links) else 0.0
    figure.set_size_inches(wide, min(40.0, rows * (scale.inches * (height + 2 * _ABOVE) + 0.4) + 0.5 + rated))


class _Panel:
    """The network on one path, of which `found` is."""

    def __init__(self, axes: Any, drawing: Drawing, found: Sequence[Use], scale: _Scale) -> None:
        self._axes, self._drawing, self._scale = axes, drawing, scale
        self._uses = {(use.sender, use.receiver): use for use in found}
        self._places = {node.name: (node.x, node.y) for node in drawing.nodes}
        self._labels: list[Point] = []

    def draw(self) -> None:
        for link in self._drawing.links:
            self._draw_half(link.a, link.b, link.bend)
            self._draw_half(link.b, link.a, -link.bend)
        draw_nodes(self._axes, self._drawing, min(1.0, self._scale.inches / _PLAIN_INCHES), _LEGIBLE)

    def _draw_half(self, sender: End, receiver: End, bend: float) -> None:
        """From the sender's node to the link's middle."""
        curve = _Curve(self._places[sender.node], self._places[receiver.node], bend)
        xs, ys = zip(*(curve.point(step / 40) for step in range(21)), strict=True)
        use = self._uses.get((sender.interface, receiver.interface))
        if use is None or not use.sent_bytes:
            self._axes.plot(xs, ys, color=_IDLE, linewidth=_THIN, linestyle=":", zorder=1)
            return
        strength = _strength(use, self._scale.fastest_bps)
        colour = _UNRATED if use.share is None else AMOUNT(strength)
        width = (_THIN + (_THICK - _THIN) * strength) * min(1.0, 1.6 * self._scale.inches)
        self._axes.plot(xs, ys, color=colour, linewidth=width, solid_capstyle="butt", zorder=1)
        if self._scale.labels and strength >= _TOLD:
            self._write(label(use), curve)

    def _write(self, text: str, curve: "_Curve") -> None:
        """Where no other figure stands, or the next one is furthest away."""
        places = [curve.point(at) for at in _LABEL_AT]
        place = next((each for each in places if self._room(each) >= 1), max(places, key=self._room))
        self._labels.append(place)
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        self._axes.annotate(
            text, place, ha="center", va="center", fontsize=6.5, zorder=2, linespacing=1.0, bbox=box
        )

    def _room(self, place: Point) -> float:
        """How far the next figure is away: below 1 they overlap."""
        wide, high = (inches / self._scale.inches for inches in _LABEL_INCHES)
        away = (max(abs(place[0] - x) / wide, abs(place[1] - y) / high) for x, y in self._labels)
        return min(away, default=1.0)


def label(use: Use) -> str:
    """940M, and in a second line 94 % of what was asked."""
    share = use.share
    return short_rate(use.rate_bps) + ("" if share is None else f"\n{100 * share:.0f} %")


def short_rate(bps: float) -> str:
    """Three digits and a letter."""
    size, letter = next((each for each in _UNITS if bps >= each[0]), _UNITS[-1])
    return f"{bps / size:.3g}{letter}"


def _strength(use: Use, fastest_bps: float) -> float:
    """0 to 1: of the asked rate, or of the fastest link that has none."""
    share = use.share
    return min(1.0, use.rate_bps / fastest_bps if share is None else share)


@dataclass(frozen=True, slots=True)
class _Curve:
    """A quadratic Bezier curve as matplotlib's arc3 has it."""

    start: Point
    end: Point
    bend: float

    def point(self, at: float) -> Point:
        """`at` of the way along."""
        (x, y), (end_x, end_y) = self.start, self.end
        dx, dy = end_x - x, end_y - y
        first, middle, last = (1 - at) ** 2, 2 * at * (1 - at), at**2
        return (
            first * x + middle * (x + dx / 2 + self.bend * dy) + last * end_x,
            first * y + middle * (y + dy / 2 - self.bend * dx) + last * end_y,
        )


def _legend(figure: Figure, drawing: Drawing, found: Sequence[Use]) -> None:
    handles = node_legend(drawing)
    if any(not use.asked_bps for use in found):
        said = "no rate asked: as wide as it is fast"
        handles.append(Line2D([], [], color=_UNRATED, linewidth=3, label=said))
    figure.legend(handles=handles, loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    if any(use.asked_bps for use in found):
        shares = ScalarMappable(Normalize(0, 100), AMOUNT)
        bar = figure.colorbar(
            shares, ax=figure.axes, location="bottom", shrink=0.4, aspect=40, pad=0.02, anchor=(0.0, 0.0)
        )
        bar.set_label("% of the asked rate", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.ax.grid(visible=False)


def _caption(seconds: str, labels: bool, rated: bool) -> str:
    said = (
        f"{seconds}, from the counters of the interfaces that send. The half of a link next to a node is "
        "what the node sent: the mean rate of whole wire packets over the timed parts of all repetitions, "
        "warm-up included, at each path's largest size."
    )
    if labels:
        said += f" Figures below {_TOLD:.1%} are left out."
        said += " k, M, G: kbit/s, Mbit/s, Gbit/s" + ("; %: of the asked rate." if rated else ".")
    else:
        said += " There are too many links for figures; the table below has the busiest."
    return said + " Dotted: nothing was sent."
