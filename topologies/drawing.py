"""What a drawing of a topology consists of: where nodes stand, which links join them, how far these bend.

In: a `Topology`. Out: a record, which analysis/network_plot.py paints; a run keeps it as drawing.json. Owns
nothing.
"""

from __future__ import annotations

import math

import msgspec

from topologies.graph_text import asked_of
from topologies.layout import Point, layout
from topologies.link import LinkEnd
from topologies.topology import Topology

NAME = "drawing.json"
_BEND, _BULGE = 0.25, 0.45  # of a link that leaves room for another: share of its length, and at most


class DrawnNode(msgspec.Struct, frozen=True):
    """`kind`: a host's role or a switch's kind. `y` upwards; neighbours are about 1 apart."""

    name: str
    kind: str
    x: float
    y: float


class DrawnLink(msgspec.Struct, frozen=True):
    """`bend`: how far the line's control point is off its middle, to the right of the way from `a` to `b`, as
    a share of its length. `asked`: in words, "" for nothing."""

    a: LinkEnd
    b: LinkEnd
    bend: float
    rate_bps: int
    asked: str


class Drawing(msgspec.Struct, frozen=True):
    shape: str
    nodes: tuple[DrawnNode, ...]
    links: tuple[DrawnLink, ...]


def drawing(topology: Topology) -> Drawing:
    """Links that have the same two ends, or that would pass a third node, bend."""
    places = layout(topology)
    kinds = {host.name: str(host.role) for host in topology.hosts}
    kinds |= {switch.name: str(switch.kind) for switch in topology.switches}
    nodes = tuple(DrawnNode(name, kind, *places[name]) for name, kind in kinds.items())
    before: dict[frozenset[str], int] = {}
    links = []
    for link in topology.links:
        pair = frozenset((link.a.node, link.b.node))
        before[pair] = before.get(pair, -1) + 1
        start, end = places[link.a.node], places[link.b.node]
        bends = before[pair] + _passes_a_node(start, end, places)
        bend = bends * min(_BEND, 2 * _BULGE / (math.dist(start, end) or 1.0))
        if bend and start[::-1] < end[::-1]:  # all to one side, whichever end comes first
            bend = -bend
        links.append(DrawnLink(link.a, link.b, bend, link.rate_bps, asked_of(link)))
    return Drawing(topology.shape, nodes, tuple(links))


def _passes_a_node(a: Point, b: Point, places: dict[str, Point]) -> bool:
    """Whether a straight line from one to the other goes through a third node."""
    length2 = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    for point in places.values():
        along = (point[0] - a[0]) * (b[0] - a[0]) + (point[1] - a[1]) * (b[1] - a[1])
        across = (point[0] - a[0]) * (b[1] - a[1]) - (point[1] - a[1]) * (b[0] - a[0])
        if 0.01 * length2 < along < 0.99 * length2 and across**2 < 0.04 * length2:
            return True
    return False
