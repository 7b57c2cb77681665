"""Faults on purpose in a simulation.

In: which links are to be down, and other rates, each time all of them; which hosts are slow. Out: simulated
lines, hosts and routers are so. Owns what the links' states are. As on Mininet both ends of a link go down,
and routers have the shortest paths over the links that are up at once. Satisfies commands.faults.Hurt.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from typing import NoReturn

from commands.simulated_network import SimulatedNetwork
from nodes.client.host import Host
from topologies.link import Link, LinkEnd
from topologies.routing import with_routes
from topologies.segments import is_uplink
from topologies.topology import Topology


class SimulatedFaults:
    """Of `network`, which was built of `topology`."""

    def __init__(self, network: SimulatedNetwork, topology: Topology) -> None:
        self._network, self._topology = network, topology
        self._links = {link.name: link for link in topology.links}
        self._lines = {each.near: each.line for each in network.lines}
        self._nics = {nic.interface: at for host in topology.hosts for at, nic in enumerate(host.nics)}
        self._down: frozenset[str] = frozenset()

    def host(self, name: str) -> Host:
        return Host(self._network.nodes[name].name, runtime=self._network.simulation.runtime)

    def set_links(self, down: Collection[str], rates: Mapping[str, int]) -> float:
        wanted = frozenset(down)
        for name, link in self._links.items():
            for end, way in zip(link.ends, link.ways, strict=True):
                self._lines[end.interface].bits_per_second = rates.get(name, way.rate_bps)
        for name in sorted(wanted ^ self._down):
            self._turn(self._links[name], name not in wanted)
        if wanted != self._down:
            self._down = wanted
            kinds = self._topology.kinds
            up = [link for link in self._topology.links if link.name not in wanted and is_uplink(link, kinds)]
            self._network.route(with_routes(self._topology.routers, up))
        return self._network.simulation.clock.seconds()

    def _turn(self, link: Link, up: bool) -> None:
        for end in link.ends:
            self._lines[end.interface].up = up
        for end in link.ends:
            self._tell(end, up)

    def _tell(self, end: LinkEnd, up: bool) -> None:
        node = self._network.nodes.get(end.node)
        if node is not None:
            node.simulated.set_link(self._nics[end.interface], up)

    def slow_host(self, name: str, factor: int) -> None:
        self._network.nodes[name].simulated.machine.slower = factor

    def kill(self, name: str) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, f"simulated host {name} is no process")

    respawn = kill
