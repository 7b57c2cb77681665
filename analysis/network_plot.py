"""A network as a picture: nodes where they stand, links in a colour for each quality.

In: a `Drawing`, words below it. Out: a figure, which can be written as PNG or SVG. Owns the look of nodes
and of plain links; analysis/style.py has the colours, of which those of paths are for paths alone.
matplotlib's own defaults hold and not a user's settings.
"""

from analysis.matplotlib_defaults import MATPLOTLIB as mpl

# isort: split
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from analysis.drawing import Drawing
from analysis.style import OTHER_COLOURS

_COLOURS = {"compute": "#56B4E9", "storage": "#E69F00", "bridge": "#cccccc", "router": "#F0E442"}
_MARKERS = {"compute": "s", "storage": "s", "bridge": "o", "router": "o"}
_NAME = "#101010"  # on any of those colours
_HOSTS = ("compute", "storage")
_PLAIN, _ASKED = "#888888", OTHER_COLOURS
_INCHES, _WIDEST = 0.75, 40.0  # a node's share, and the whole
_FONT_MIN = 3.0
_ROUND = 0.8  # free space around all nodes


def draw(drawing: Drawing, words: str) -> Figure:
    """Nodes, links in a colour for each quality, and `words` below."""
    with mpl.rc_context(mpl.rcParamsDefault):
        width, height = extent(drawing)
        scale = min(1.0, _WIDEST / (_INCHES * (width + 2)))
        inches = (max(6.5, scale * _INCHES * (width + 2)), max(3.4, scale * _INCHES * (height + 3)))
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        prepare(axes, drawing)
        figure.suptitle(plain(drawing.shape), x=0.01, ha="left", fontweight="bold")
        legend = _draw_links(axes, drawing)
        draw_nodes(axes, drawing, scale)
        legend = node_legend(drawing) + legend
        figure.supxlabel(plain(words), x=0.01, ha="left", fontsize=8, color="#444444", wrap=True)
        figure.legend(
            handles=legend,
            loc="outside upper right",
            ncols=4 if len(legend) < 4 else 2,
            fontsize=8,
            frameon=False,
        )
        return figure


def write(drawing: Drawing, words: str, path: Path) -> None:
    """Raises OSError."""
    with mpl.rc_context(mpl.rcParamsDefault):
        draw(drawing, words).savefig(path, dpi=130)


def plain(text: str) -> str:
    """`text` as matplotlib shows it without reading mathematics between dollar signs."""
    return text.replace("$", r"\$")


def extent(drawing: Drawing) -> tuple[float, float]:
    """Width and height of what nodes' middles span; neighbours are about 1 apart."""
    xs, ys = [node.x for node in drawing.nodes], [node.y for node in drawing.nodes]
    return max(xs) - min(xs), max(ys) - min(ys)


def prepare(axes: Any, drawing: Drawing, above: float = _ROUND) -> None:
    """Room for all nodes, `above` and below them, too, and nothing else."""
    xs, ys = [node.x for node in drawing.nodes], [node.y for node in drawing.nodes]
    axes.set_axis_off()
    axes.set_xlim(min(xs) - _ROUND, max(xs) + _ROUND)
    axes.set_ylim(min(ys) - above, max(ys) + above)
    axes.set_aspect("equal")


def draw_nodes(axes: Any, drawing: Drawing, scale: float, smallest: float = 0.0) -> None:
    """`scale`: 1 where nodes are drawn as large as their names need. Names that would be smaller than
    `smallest` points are left out."""
    for node in drawing.nodes:
        size = (540 if node.kind in _HOSTS else 1000) * scale**2
        axes.scatter(
            [node.x], [node.y], s=size, c=_COLOURS[node.kind], marker=_MARKERS[node.kind], edgecolors="white",
            zorder=3,
        )  # fmt: skip
        font = max(_FONT_MIN, (8 if len(node.name) < 6 else 7) * scale)
        if font >= smallest:
            place = node.x, node.y
            axes.annotate(
                plain(node.name), place, ha="center", va="center", fontsize=font, zorder=4, color=_NAME
            )


def node_legend(drawing: Drawing) -> list[Any]:
    """What a legend says of the kinds that there are."""
    kinds = {node.kind for node in drawing.nodes}
    return [
        Line2D([], [], linestyle="", marker=_MARKERS[kind], color=_COLOURS[kind], label=kind, markersize=8)
        for kind in _COLOURS
        if kind in kinds
    ]


def _draw_links(axes: Any, drawing: Drawing) -> list[Any]:
    """Returns what the legend says of them."""
    asked = [each for each in dict.fromkeys(link.asked for link in drawing.links) if each]
    colours = {each: _ASKED[number % len(_ASKED)] for number, each in enumerate(asked)} | {"": _PLAIN}
    places = {node.name: (node.x, node.y) for node in drawing.nodes}
    for link in drawing.links:
        axes.add_patch(
            FancyArrowPatch(
                places[link.a.node],
                places[link.b.node],
                arrowstyle="-",
                connectionstyle=f"arc3,rad={link.bend}",
                color=colours[link.asked],
                linewidth=1.1,
                zorder=1,
            )
        )
    return [Line2D([], [], color=colours[each], label=plain(each)) for each in asked]
