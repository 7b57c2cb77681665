"""Small multiples of a sweep: a panel for each combination of options, a line for each path.

In: rows of many runs, each with the options that differ between them. Out: painted figures, captions. Owns
which option stands at the axis and which ones tell panels apart.
"""

import analysis.matplotlib_defaults  # noqa: F401  before anything of matplotlib's: without a user's settings

# isort: split
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.fidelity import FAITHFUL, SIMULATED, kind_of_seconds
from analysis.measure import Rate, size_text
from analysis.network_plot import plain
from analysis.plots import PaintFigure, whiskers
from analysis.style import colour_of, marker_of
from analysis.summary import SummaryRow, paths_of

SIZE, PATH = "size", "path"
PANELS = 60  # that are drawn
_COLUMNS, _WIDTH_INCHES, _HEIGHT_INCHES = 4, 2.5, 1.9  # of panels
_NAME_CHARACTERS = 22  # of a panel's title, in each line
_TICKS = 6
_APART = 0.08
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]?)")


@dataclass(frozen=True, slots=True)
class Point:
    """A row of a cell, and the options by which cells differ; "" where an option is left out."""

    options: Mapping[str, str]
    row: SummaryRow


@dataclass(frozen=True, slots=True)
class Layout:
    """`axis`: the option along the axis of each panel, in the order of `ticks`; "" if nothing differs within
    a panel. `panels`: points by the other options, as words."""

    axis: str
    ticks: tuple[str, ...]
    panels: Mapping[str, Sequence[Point]]


Value = Callable[[SummaryRow], float | None]


def layout(points: Sequence[Point]) -> Layout:
    """The axis is the size of messages if that differs, else the option with the most values."""
    options = [_coordinates(point) for point in points]
    names = list(dict.fromkeys(name for each in options for name in each))
    values = {name: list(dict.fromkeys(each.get(name, "") for each in options)) for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    axis = SIZE if SIZE in differing else max(differing, key=lambda name: len(values[name]), default="")
    panels: dict[str, list[Point]] = {}
    for point, each in zip(points, options, strict=True):
        said = [f"{name} {each.get(name) or 'none'}" for name in differing if name != axis]
        panels.setdefault(", ".join(said), []).append(point)
    return Layout(axis, tuple(sorted(values.get(axis, [""]), key=order)), panels)


def paints(points: Sequence[Point], found: Layout, rate: Rate) -> Iterator[tuple[str, PaintFigure]]:
    """Every figure that the points have values for: its name, and what paints it."""
    rows = [point.row for point in points]
    lead = kind_of_seconds([row.verdict for row in rows])
    said = f"{rate.name} ({rate.unit})"

    def rate_of(row: SummaryRow) -> float:
        return rate.per_GB_per_s * row.busbw_GB_per_s

    yield "sweep_rate", lambda figure: (
        f"{lead}. {paint(figure, found, said, rate_of, rate.per_GB_per_s)} Bars are 95 % bootstrap "
        "intervals of the median."
    )
    if any(row.host_dram_bytes_per_payload_byte is not None for row in rows):
        yield "sweep_host_dram", lambda figure: (
            "Modelled: host DRAM bytes that were read and written for each payload byte. "
            + paint(figure, found, "host DRAM (B/B)", lambda row: row.host_dram_bytes_per_payload_byte)
        )
    if any(row.cpu_s_per_GB is not None for row in rows):
        yield "sweep_cpu", lambda figure: (
            f"{lead}. {paint(figure, found, 'CPU (s/GB)', lambda row: row.cpu_s_per_GB)}"
        )


def paint(figure: Figure, found: Layout, unit: str, value: Value, interval: float | None = None) -> str:
    """A panel for each of `found`, on one scale. `interval`: what that of busbw is multiplied by. Returns
    what a caption says of any such figure."""
    names = list(found.panels)[:PANELS]
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure.set_size_inches(max(5.0, columns * _WIDTH_INCHES), 0.9 + lines * _HEIGHT_INCHES)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    paths = paths_of([point.row for points in found.panels.values() for point in points])
    for axes, name in zip(panels.flat, names, strict=False):
        _paint_panel(axes, found, found.panels[name], paths, value, interval)
        axes.set_title(plain(_broken(name)), fontsize=8.5)
        axes.tick_params(labelsize=8)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes in panels.flat[max(0, len(names) - columns) : len(names)]:
        axes.xaxis.set_tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].yaxis.set_major_locator(MaxNLocator(4))
    panels[0, 0].set_xlim(-0.6, len(found.ticks) - 0.4)
    shown = range(0, len(found.ticks), 1 + len(found.ticks) // _TICKS)
    panels[0, 0].set_xticks(shown, [plain(_tick(found.axis, found.ticks[at])) for at in shown])
    figure.supylabel(unit, fontsize=9.5)
    figure.supxlabel(found.axis or "path", fontsize=9.5)
    figure.legend(handles=_legend(paths), loc="outside upper left", ncols=5, fontsize=9)
    left_out = len(found.panels) - len(names)
    return "All panels have one scale. Hollow: not the network's, by verdict." + (
        f" {left_out} more panels are left out." if left_out else ""
    )


def _paint_panel(
    axes: Axes, found: Layout, points: Sequence[Point], paths: Sequence[str], value: Value,
    interval: float | None,
) -> None:  # fmt: skip
    for place, path in enumerate(paths):
        beside = _APART * (place - (len(paths) - 1) / 2)
        placed = sorted(
            (found.ticks.index(_coordinates(point).get(found.axis, "")) + beside, shown, point.row)
            for point in points
            if point.row.path == path and (shown := value(point.row)) is not None
        )  # fmt: skip
        colour = colour_of(path, paths)
        if len({at for at, _, _ in placed}) == len(placed):  # else repeats of a cell would be joined
            axes.plot([at for at, _, _ in placed], [y for _, y, _ in placed], color=colour, linewidth=1.3)
        for at, shown, row in placed:
            spread = None if interval is None else whiskers([row], interval)
            face = colour if row.verdict in (FAITHFUL, SIMULATED) else "white"
            axes.errorbar([at], [shown], yerr=spread, color=colour, marker=marker_of(path), markersize=5,
                          markerfacecolor=face, capsize=2, linestyle="none")  # fmt: skip


def _coordinates(point: Point) -> dict[str, str]:
    """The options that tell points of one path apart; the size is the row's own."""
    return {**{name: text for name, text in point.options.items() if name not in (PATH, SIZE)},
            SIZE: str(point.row.size_bytes)}  # fmt: skip


def order(text: str) -> tuple[float, str]:
    """Numbers by their value, with the letter that multiplies them; then words."""
    found = _NUMBER.match(text)
    if found is None:
        return float("inf"), text
    return float(found[1]) * 1000.0 ** max(0, " KMGT".find(found[2].upper() or " ")), text


def _tick(axis: str, text: str) -> str:
    return size_text(int(text)) if axis == SIZE else text or "none"


def _broken(name: str) -> str:
    """In lines of a panel's width."""
    lines = [""]
    for part in name.split(", "):
        if lines[-1] and len(lines[-1]) + len(part) > _NAME_CHARACTERS:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{part}"
    return ",\n".join(lines)


def _legend(paths: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour_of(path, paths), marker=marker_of(path), label=plain(path))
        for path in paths
    ]
