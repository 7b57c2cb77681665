"""Routing tables of routers: all shortest paths to every segment.

In: routers with their addresses, and the links between them. Out: routes a router; and, from a finished
topology, the paths that packets take when they follow the tables. Owns nothing. Every next hop is one link
nearer to the destination (breadth-first search), so no packet goes round in a loop.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from topologies.link import Link
from topologies.switch import NextHop, Route, RouterInterface, Switch
from topologies.topology import Topology
from topologies.topology_error import TopologyError


@dataclass(frozen=True, slots=True)
class _Hop:
    """From a router to its neighbour."""

    neighbour: str
    interface: str
    gateway: str


_Graph = Mapping[str, Sequence[_Hop]]


def with_routes(routers: Sequence[Switch], links: Sequence[Link]) -> tuple[Switch, ...]:
    """The routers, each with routes to the local segments of all others that it can reach; IPv4 before IPv6,
    which only links with IPv6 carry."""
    tables: dict[str, list[Route]] = {router.name: [] for router in routers}
    for version in (4, 6):
        graph = _graph(routers, links, version)
        for destination in routers:
            if destination.local and (prefix := _prefix(destination.local, version)):
                for name, hops in _next_hops(graph, destination.name).items():
                    tables[name].append(Route(prefix, hops))
    return tuple(msgspec.structs.replace(each, routes=tuple(tables[each.name])) for each in routers)


def _prefix(interface: RouterInterface, version: int) -> str:
    address = interface.address if version == 4 else interface.address6
    return str(ipaddress.ip_interface(address).network) if address else ""


def _graph(routers: Sequence[Switch], links: Sequence[Link], version: int) -> _Graph:
    ports = {(each.name, port.interface): port for each in routers for port in each.uplinks}
    graph: dict[str, list[_Hop]] = {router.name: [] for router in routers}
    for link in links:
        for near, far in (link.ends, link.ends[::-1]):
            port = ports.get((far.node, far.interface))
            gateway = "" if port is None else port.address if version == 4 else port.address6
            if gateway:
                graph[near.node].append(_Hop(far.node, near.interface, gateway.partition("/")[0]))
    return graph


def _next_hops(graph: _Graph, destination: str) -> dict[str, tuple[NextHop, ...]]:
    """Of every other router from which `destination` can be reached."""
    distances = {destination: 0}
    waiting = deque([destination])
    while waiting:
        here = waiting.popleft()
        for hop in graph[here]:
            if hop.neighbour not in distances:
                distances[hop.neighbour] = distances[here] + 1
                waiting.append(hop.neighbour)
    return {
        name: tuple(
            NextHop(hop.gateway, hop.interface)
            for hop in graph[name]
            if distances.get(hop.neighbour) == distance - 1
        )
        for name, distance in distances.items()
        if name != destination
    }


class Paths:
    """Where the tables of a topology's routers lead."""

    def __init__(self, topology: Topology) -> None:
        self._routers = {router.name: router for router in topology.routers}
        self._owners = {
            address.partition("/")[0]: router.name
            for router in topology.routers
            for port in router.uplinks
            for address in port.addresses
        }
        self._counted: dict[str, dict[str, int | None]] = {}  # paths from a router, by prefix
        self._tables = {
            (router.name, route.prefix): route for router in topology.routers for route in router.routes
        }

    def between(self, start: str, prefix: str) -> Iterator[tuple[str, ...]]:
        """Every path from router `start` to the router whose local segment is `prefix`, as interfaces that a
        packet leaves by. Raises TopologyError where a table leads nowhere, or round in a loop."""
        self.count(start, prefix)
        yield from self._follow(start, prefix, ())

    def count(self, start: str, prefix: str) -> int:
        """How many there are; quick where there are very many. Raises TopologyError likewise."""
        return self._count(start, prefix, self._counted.setdefault(prefix, {}))

    def _follow(self, here: str, prefix: str, so_far: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if self._is_at(here, prefix):
            yield so_far
            return
        for hop in self._hops(here, prefix):
            yield from self._follow(self._owners[hop.gateway], prefix, (*so_far, hop.interface))

    def _count(self, here: str, prefix: str, counted: dict[str, int | None]) -> int:
        """`counted`: paths of the routers that were visited; None where the visit goes on."""
        if self._is_at(here, prefix):
            return 1
        if here in counted:
            known = counted[here]
            if known is None:
                raise TopologyError(f"packets to {prefix} come round to {here} again; correct its route")
            return known
        counted[here] = None
        hops = self._hops(here, prefix)
        counted[here] = total = sum(self._count(self._owners[hop.gateway], prefix, counted) for hop in hops)
        return total

    def _is_at(self, here: str, prefix: str) -> bool:
        local = self._routers[here].local
        return local is not None and prefix in (_prefix(local, 4), _prefix(local, 6))

    def _hops(self, here: str, prefix: str) -> tuple[NextHop, ...]:
        route = self._tables.get((here, prefix))
        if route is None:
            raise TopologyError(f"router {here} has no route to {prefix}; link it to the others")
        return route.next_hops
