"""A topology as a picture, by matplotlib.

In: a `Topology`. Out: a figure, which can be written as PNG or SVG. Owns its look; colours are Okabe and
Ito's. matplotlib's own defaults hold and not a user's settings.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from topologies.graph_text import asked_of, figure_lines
from topologies.layout import Point, layout
from topologies.topology import Topology

SUFFIXES = (".png", ".svg")
_COLOURS = {"compute": "#56B4E9", "storage": "#E69F00", "bridge": "#cccccc", "router": "#009E73"}
_MARKERS = {"compute": "s", "storage": "s", "bridge": "o", "router": "o"}
_PLAIN, _ASKED = "#888888", ("#0072B2", "#D55E00", "#CC79A7", "#000000")
_INCHES, _WIDEST = 0.75, 40.0  # a node's share, and the whole
_BEND, _BULGE = 0.25, 0.45  # of a link that leaves room for another: share of its length, and at most
_ROUND = 0.8  # free space around all nodes


def draw(topology: Topology) -> Figure:
    """Nodes, links in a colour for each quality, and the figures below."""
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        places = layout(topology)
        width, height = (_extent([point[axis] for point in places.values()]) for axis in (0, 1))
        scale = min(1.0, _WIDEST / (_INCHES * (width + 2)))
        inches = (max(6.5, scale * _INCHES * (width + 2)), max(3.4, scale * _INCHES * (height + 3)))
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(
            min(x for x, _ in places.values()) - _ROUND, max(x for x, _ in places.values()) + _ROUND
        )
        axes.set_ylim(
            min(y for _, y in places.values()) - _ROUND, max(y for _, y in places.values()) + _ROUND
        )
        axes.set_aspect("equal")
        figure.suptitle(topology.shape, x=0.01, ha="left", fontweight="bold")
        legend = _draw_links(axes, topology, places)
        legend = _draw_nodes(axes, topology, places, scale) + legend
        words = "   ".join(f"{name} {value}" for name, value in figure_lines(topology))
        figure.supxlabel(words, x=0.01, ha="left", fontsize=8, color="#444444", wrap=True)
        figure.legend(
            handles=legend,
            loc="outside upper right",
            ncols=4 if len(legend) < 4 else 2,
            fontsize=8,
            frameon=False,
        )
        return figure


def write(topology: Topology, path: Path) -> None:
    """Raises OSError."""
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        draw(topology).savefig(path, dpi=130)


def _extent(values: list[float]) -> float:
    return max(values) - min(values)


def _draw_links(axes: Any, topology: Topology, places: dict[str, Point]) -> list[Any]:
    """Returns what the legend says of them."""
    qualities = dict.fromkeys(asked_of(link) for link in topology.links)
    asked = [each for each in qualities if each]
    colours = {each: _ASKED[number % len(_ASKED)] for number, each in enumerate(asked)} | {"": _PLAIN}
    drawn: dict[frozenset[str], int] = {}
    for link in topology.links:
        pair = frozenset((link.a.node, link.b.node))
        before = drawn[pair] = drawn.get(pair, -1) + 1
        b, a = sorted((places[link.a.node], places[link.b.node]), key=lambda point: point[::-1])
        bends = before + _passes_a_node(a, b, places)  # to the left, or upwards
        bend = bends * min(_BEND, 2 * _BULGE / (math.dist(a, b) or 1.0))
        colour = colours[asked_of(link)]
        axes.add_patch(
            FancyArrowPatch(
                a,
                b,
                arrowstyle="-",
                connectionstyle=f"arc3,rad={bend}",
                color=colour,
                linewidth=1.1,
                zorder=1,
            )
        )
    return [Line2D([], [], color=colours[each], label=each) for each in asked]


def _passes_a_node(a: Point, b: Point, places: dict[str, Point]) -> bool:
    """Whether a straight line from one to the other goes through a third node."""
    length2 = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    for point in places.values():
        along = (point[0] - a[0]) * (b[0] - a[0]) + (point[1] - a[1]) * (b[1] - a[1])
        across = (point[0] - a[0]) * (b[1] - a[1]) - (point[1] - a[1]) * (b[0] - a[0])
        if 0.01 * length2 < along < 0.99 * length2 and across**2 < 0.04 * length2:
            return True
    return False


def _draw_nodes(axes: Any, topology: Topology, places: dict[str, Point], scale: float) -> list[Any]:
    """Returns what the legend says of them."""
    kinds = {host.name: str(host.role) for host in topology.hosts}
    kinds |= {switch.name: str(switch.kind) for switch in topology.switches}
    for name, kind in kinds.items():
        x, y = places[name]
        size = (540 if kind in ("compute", "storage") else 1000) * scale**2
        axes.scatter([x], [y], s=size, c=_COLOURS[kind], marker=_MARKERS[kind], edgecolors="white", zorder=2)
        axes.annotate(
            name,
            (x, y),
            ha="center",
            va="center",
            fontsize=max(3.0, (8 if len(name) < 6 else 7) * scale),
            zorder=3,
        )
    return [
        Line2D([], [], linestyle="", marker=_MARKERS[kind], color=_COLOURS[kind], label=kind, markersize=8)
        for kind in _COLOURS
        if kind in kinds.values()
    ]
