"""Where the nodes of a topology stand in a drawing.

In: a `Topology`. Out: a point a node, y upwards, nodes about 1 apart. Owns nothing. Switches that
are linked in a circle stand in one; those of a grid or a torus, if numbered row by row, in a grid; all others
in layers: hosts below, then the switches that have hosts, then those above them.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import product

from topologies.topology import Topology

Point = tuple[float, float]
_LAYER = 1.6  # between two layers, or more where they are wide
_CLOSE = 0.62  # a host from its switch in a circle or a grid


def layout(topology: Topology) -> dict[str, Point]:
    """Every node's place."""
    return _circle(topology) or _grid(topology) or _layers(topology)


def between_switches(topology: Topology) -> set[frozenset[str]]:
    """Pairs of switches that are linked."""
    names = {switch.name for switch in topology.switches}
    pairs = {frozenset((link.a.node, link.b.node)) for link in topology.links}
    return {pair for pair in pairs if pair <= names}


def _circle(topology: Topology) -> dict[str, Point]:
    names = [switch.name for switch in topology.switches]
    circle = {frozenset(pair) for pair in zip(names, names[1:] + names[:1], strict=True)}
    if len(names) < 3 or between_switches(topology) != circle:
        return {}
    radius = max(1.0, len(names) / (2 * math.pi))
    places = {}
    for number, name in enumerate(names):
        angle = math.pi / 2 - 2 * math.pi * number / len(names)
        places[name] = (radius * math.cos(angle), radius * math.sin(angle))
        hosts = _hosts_of(topology, name)
        for at, host in enumerate(hosts):
            turned = angle + 0.35 * (at - (len(hosts) - 1) / 2) / radius
            places[host] = ((radius + _CLOSE) * math.cos(turned), (radius + _CLOSE) * math.sin(turned))
    return places


def _grid(topology: Topology) -> dict[str, Point]:
    """Of switches that are numbered row by row, with or without the links that make circles of rows and
    columns."""
    names, pairs = [switch.name for switch in topology.switches], between_switches(topology)
    for rows in range(2, len(names) // 2 + 1):
        columns, rest = divmod(len(names), rows)
        if rest == 0 and pairs in (_neighbours(names, columns, rows, wraps) for wraps in (True, False)):
            places = {}
            for number, name in enumerate(names):
                places[name] = x, y = 1.3 * (number % columns), -1.3 * (number // columns)
                for at, host in enumerate(_hosts_of(topology, name)):
                    places[host] = (x + _CLOSE * 0.75, y - _CLOSE * (0.75 + at / 2))
            return places
    return {}


def _neighbours(names: list[str], columns: int, rows: int, wraps: bool) -> set[frozenset[str]]:
    pairs = set()
    for row, column in product(range(rows), range(columns)):
        for down, right in ((1, 0), (0, 1)):
            below, beside = row + down, column + right
            if wraps or (below < rows and beside < columns):
                other = below % rows * columns + beside % columns
                pairs.add(frozenset((names[row * columns + column], names[other])))
    return pairs


def _layers(topology: Topology) -> dict[str, Point]:
    heights = _heights(topology)
    layers: dict[int, list[str]] = {}
    for name, height in heights.items():
        layers.setdefault(height, []).append(name)
    widest = max(len(layer) for layer in layers.values())
    apart = max(_LAYER, widest / 6)
    return {
        name: ((at + 0.5) * widest / len(layer), height * apart)
        for height, layer in layers.items()
        for at, name in enumerate(layer)
    }


def _heights(topology: Topology) -> dict[str, int]:
    """0 of hosts, 1 of switches with hosts, and one more for each link from there."""
    heights = {host.name: 0 for host in topology.hosts}
    linked: dict[str, set[str]] = {}
    for link in topology.links:
        linked.setdefault(link.a.node, set()).add(link.b.node)
        linked.setdefault(link.b.node, set()).add(link.a.node)
    found: dict[str, int] = {}
    waiting = deque(
        (switch.name, 1) for switch in topology.switches if linked.get(switch.name, set()) & heights.keys()
    )
    while waiting:
        name, height = waiting.popleft()
        if name not in found and name not in heights:
            found[name] = height
            waiting.extend((other, height + 1) for other in sorted(linked[name]))
    return heights | {switch.name: found.get(switch.name, 1) for switch in topology.switches}


def _hosts_of(topology: Topology, switch: str) -> list[str]:
    hosts = {host.name for host in topology.hosts}
    ends = (link.ends for link in topology.links if switch in (link.a.node, link.b.node))
    return [end.node for pair in ends for end in pair if end.node in hosts]
