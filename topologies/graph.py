"""Figures of a topology: diameter, equal-cost paths, bisection bandwidth, oversubscription.

In: a `Topology`. Out: numbers, and the text of `run.py graph`. Owns nothing. Graph theory is networkx's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import networkx

from topologies.link import Link
from topologies.routing import Paths
from topologies.topology import Topology

EXACT_HOSTS = 10  # up to which every half of the hosts is tried
_HALVES = 16  # tried beyond that


@dataclass(frozen=True, slots=True)
class Bisection:
    """What all links carry, in one direction, between the two halves of the hosts that are connected worst.
    `exact`: every half was tried; otherwise it may be less. `capacity` in bits a second, or in links where
    `in_links`: no link has a rate; infinite: no rate that was asked for limits it."""

    capacity: float
    in_links: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """`diameter_links`: of the two hosts that are furthest apart, None where some cannot be reached.
    `paths`: the fewest and the most equal-cost paths between two segments that reach each other, None with
    one segment. `oversubscription`: the most that hosts of a switch send over what its links to other
    switches carry; None where no switch has both, or only some of its links have a rate."""

    diameter_links: int | None
    paths: tuple[int, int] | None
    bisection: Bisection
    oversubscription: float | None


def figures(topology: Topology) -> Figures:
    """All of them."""
    return Figures(
        diameter(topology), equal_cost_paths(topology), bisection(topology), oversubscription(topology)
    )


def diameter(topology: Topology) -> int | None:
    """Links between the two hosts that are furthest apart: hosts pass nothing on."""
    switches = network(topology)
    hosts = {host.name for host in topology.hosts}
    switches.remove_nodes_from(hosts)
    distances = dict(networkx.all_pairs_shortest_path_length(switches))
    next_to = {host: _neighbours(topology, host) for host in hosts}
    found = []
    for near, far in itertools.combinations(hosts, 2):
        ways = [1] if far in next_to[near] else []
        for a, b in itertools.product(next_to[near] - hosts, next_to[far] - hosts):
            if b in distances[a]:
                ways.append(distances[a][b] + 2)
        if not ways:
            return None
        found.append(min(ways))
    return max(found, default=0)


def equal_cost_paths(topology: Topology) -> tuple[int, int] | None:
    """The fewest and the most, from one segment to another that its router has a route to."""
    paths = Paths(topology)
    counted = [
        paths.count(router.name, route.prefix)
        for router in topology.routers
        if router.local
        for route in router.routes
    ]
    return (min(counted), max(counted)) if counted else None


def bisection(topology: Topology) -> Bisection:
    """The least cut between two halves of the hosts, among the halves that are tried."""
    in_links = not any(link.slower_bps for link in topology.links)
    graph = networkx.Graph()
    for link in topology.links:
        a, b = link.a.node, link.b.node
        more = graph.edges[a, b]["capacity"] if graph.has_edge(a, b) else 0
        graph.add_edge(a, b, capacity=more + (1 if in_links else link.slower_bps or math.inf))
    names = [host.name for host in topology.hosts]
    exact = len(names) <= EXACT_HOSTS
    tried = _all_halves(names) if exact else _some_halves(graph, names)
    least = min((_cut(graph, names, half) for half in tried), default=math.inf)
    return Bisection(least, in_links, exact)


def oversubscription(topology: Topology) -> float | None:
    """The most of any switch."""
    hosts = {host.name for host in topology.hosts}
    ratios = []
    for switch in topology.switches:
        links = [link for link in topology.links if switch.name in (link.a.node, link.b.node)]
        down = [link for link in links if hosts & {link.a.node, link.b.node}]
        up = [link for link in links if link not in down]
        rates = {bool(link.slower_bps) for link in links}
        if down and up and len(rates) == 1:
            ratios.append(sum(map(_weight, down)) / sum(map(_weight, up)))
    return max(ratios, default=None)


def network(topology: Topology) -> Any:
    """Nodes and links as networkx has them."""
    graph = networkx.MultiGraph()
    graph.add_nodes_from(host.name for host in topology.hosts)
    graph.add_nodes_from(switch.name for switch in topology.switches)
    graph.add_edges_from((link.a.node, link.b.node) for link in topology.links)
    return graph


def _neighbours(topology: Topology, node: str) -> set[str]:
    ends = [link.ends for link in topology.links]
    return {b.node for a, b in (*ends, *(pair[::-1] for pair in ends)) if a.node == node}


def _weight(link: Link) -> int:
    return link.slower_bps or 1


def _all_halves(names: list[str]) -> Iterator[Collection[str]]:
    """Each half once: with an even number of hosts its other half is not tried again."""
    first, *others = names
    for more in itertools.combinations(others, len(names) // 2 - 1):
        yield {first, *more}
    if len(names) % 2:
        yield from map(set, itertools.combinations(others, len(names) // 2))


def _some_halves(graph: Any, names: list[str]) -> Iterator[Collection[str]]:
    """Runs of hosts in their order, which lie in racks and rows, and what Kernighan and Lin find."""
    half, count = len(names) // 2, len(names)
    for start in range(0, count - half + 1, max(1, count // _HALVES)):
        yield set(names[start : start + half])
    for seed in range(2):
        near, _ = networkx.algorithms.community.kernighan_lin_bisection(graph, weight="capacity", seed=seed)
        found = [name for name in names if name in near]
        if abs(2 * len(found) - count) <= 1:
            yield set(found)


def _cut(graph: Any, names: list[str], half: Collection[str]) -> float:
    """What is carried from the hosts of `half` to the others."""
    joined = networkx.Graph(graph)
    for name in names:
        joined.add_edge("from" if name in half else "to", name)  # without a capacity: infinite
    try:
        return float(networkx.maximum_flow_value(joined, "from", "to"))
    except networkx.NetworkXUnbounded:
        return math.inf
