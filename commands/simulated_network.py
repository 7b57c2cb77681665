"""A topology as a simulation: every host, switch, router and link of it under one simulated clock.

In: a topology, what its hosts are like. Out: a Simulation whose hosts wait for processes; its lines by the
interfaces at their ends. Owns nothing. Hosts have the addresses, MACs and routes that they have on Mininet.
Linux's own stacks are not there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from commands.usage import UsageError
from nodes.host_config import HostConfig
from nodes.simulation.clock import Clock
from nodes.simulation.line import Deliver, Line
from nodes.simulation.machine_model import INFINITE, MachineSpec
from nodes.simulation.output import QUEUE_BYTES, Output, QueueLimits
from nodes.simulation.router import Hop, Router
from nodes.simulation.simulation import Node, Simulation
from nodes.simulation.switch import Switch as Bridge
from nodes.wire.ethernet import mac_bytes
from topologies.link import Link, LinkEnd, Quality
from topologies.switch import Switch
from topologies.topology import Topology

_NOT_SIMULATED = ("jitter_s", "loss", "reorder", "duplicate", "corrupt", "gemodel")
_FRAMED = 38  # bytes of a wire packet beside its IP packet: Ethernet's header and framing


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """A direction of a link: from the interface `near` to `far`."""

    near: str
    far: str
    line: Line


@dataclass(slots=True)
class SimulatedNetwork:
    """`nodes`, `bridges` and `routers` by name; `outputs` of switches, and `uplinks`, their numbers at their
    routers, by the interface that sends."""

    simulation: Simulation
    nodes: dict[str, Node] = field(default_factory=dict)
    bridges: dict[str, Bridge] = field(default_factory=dict)
    routers: dict[str, Router] = field(default_factory=dict)
    lines: list[SimulatedLine] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    uplinks: dict[str, int] = field(default_factory=dict)

    def route(self, routers: Sequence[Switch]) -> None:
        """Give the routers the routes that these have, in place of theirs."""
        ports = [port for each in routers for port in each.uplinks]
        macs = {port.address.partition("/")[0]: mac_bytes(port.mac) for port in ports}
        for switch in routers:
            router = self.routers[switch.name]
            router.clear_routes()
            for route in switch.routes:
                prefix = ipaddress.ip_network(route.prefix)
                if prefix.version == 4:
                    hops = [Hop(self.uplinks[hop.interface], macs[hop.gateway]) for hop in route.next_hops]
                    router.add_route(int(prefix.network_address), prefix.prefixlen, hops)


def build(
    topology: Topology,
    configs: Mapping[str, HostConfig],
    machine: MachineSpec = INFINITE,
    seed: int = 1,
    carried: bool = True,
    cuts: bool = False,
) -> SimulatedNetwork:
    """`configs`: of the hosts, by name. The links have been checked."""
    network = SimulatedNetwork(Simulation(seed, carried, cuts))
    clock = network.simulation.clock
    mtus = {end.interface: link.mtu for link in topology.links for end in link.ends}
    for host in topology.hosts:
        mtu = min(mtus[nic.interface] for nic in host.nics)
        network.nodes[host.name] = network.simulation.add(configs[host.name], machine, mtu)
    for number, switch in enumerate(topology.switches):
        if switch.kind == "bridge":
            network.bridges[switch.name] = Bridge(clock)
        else:
            network.routers[switch.name] = _router(switch, clock, seed + number)
    ports = _Ports(network, topology)
    for link in topology.links:
        ports.plug(link)
    ports.route()
    return network


def check_links(topology: Topology) -> None:
    """Raises UsageError for what a simulated link cannot be."""
    for link in topology.links:
        for way in link.ways:
            asked = [name for name in _NOT_SIMULATED if getattr(way, name)]
            if asked:
                raise UsageError(
                    f"link {link} asks for {asked[0].removesuffix('_s')}, which simulated links do not have; "
                    "take it away, ask for it at the NICs with --impair, or leave --clock simulated out"
                )


def _router(switch: Switch, clock: Clock, seed: int) -> Router:
    if switch.local is None:
        return Router(clock, seed=seed)
    return Router(clock, _ipv4(switch.local.address), mac_bytes(switch.local.mac), seed=seed)


def _ipv4(address: str) -> int:
    return int(ipaddress.IPv4Interface(address).ip)


class _Ports:
    """The ends of links, while they are plugged in. `at`: the number of each switch's port, by interface."""

    def __init__(self, network: SimulatedNetwork, topology: Topology) -> None:
        self._network = network
        self._topology = topology
        self._nics = {nic.interface: at for host in topology.hosts for at, nic in enumerate(host.nics)}
        self._uplinks = {port.interface: port for each in topology.routers for port in each.uplinks}
        self._at: dict[str, int] = {}

    def plug(self, link: Link) -> None:
        """Both directions of the link. What a line brings is handed over by the name of its far end: a
        switch numbers its ports as they get their lines."""
        for near, far, way in zip(link.ends, link.ends[::-1], link.ways, strict=True):
            line = self._network.simulation.line(way.rate_bps, round(way.delay_s * 1e9), self._deliver(far))
            self._network.lines.append(SimulatedLine(near.interface, far.interface, line))
            self._begin(near, line, _limits(way, link.mtu))

    def _begin(self, end: LinkEnd, line: Line, limits: QueueLimits) -> None:
        """Frames leave by `line` at that end."""
        name, network = end.interface, self._network
        if end.node in network.nodes:
            network.nodes[end.node].simulated.ports[self._nics[name]].line = line
        elif end.node in network.bridges:
            bridge = network.bridges[end.node]
            self._at[name] = bridge.add_port(line, limits)
            network.outputs[name] = bridge.outputs[-1]
        elif name in self._uplinks:
            mac = mac_bytes(self._uplinks[name].mac)
            at = network.routers[end.node].add_uplink(line, mac, limits)
            self._at[name] = network.uplinks[name] = at
            network.outputs[name] = network.routers[end.node].uplinks[-1]
        else:
            self._at[name] = network.routers[end.node].add_port(line, limits)
            network.outputs[name] = network.routers[end.node].bridge.outputs[-1]

    def _deliver(self, end: LinkEnd) -> Deliver:
        """What takes the frames that arrive at that end."""
        name, network, at = end.interface, self._network, self._at
        if end.node in network.nodes:
            return network.nodes[end.node].simulated.ports[self._nics[name]].deliver
        if end.node in network.bridges:
            bridge = network.bridges[end.node]
            return lambda frame: bridge.deliver(at[name], frame)
        router = network.routers[end.node]
        if name in self._uplinks:
            return lambda frame: router.deliver_uplink(at[name], frame)
        return lambda frame: router.deliver(at[name], frame)

    def route(self) -> None:
        """Tell the routers of their hosts, and of each other."""
        nics = {nic.interface: nic for host in self._topology.hosts for nic in host.nics}
        for segment in self._topology.segments():
            for end in segment.nics if segment.router else ():
                nic = nics[end.interface]
                router = self._network.routers[segment.router]
                router.add_neighbour(_ipv4(nic.endpoint_address), mac_bytes(nic.endpoint_mac))
        self._network.route(self._topology.routers)


def _limits(way: Quality, mtu: int) -> QueueLimits:
    """Of the queue in front of a line. A queue of packets has room for so many full ones."""
    room = way.queue_packets * (mtu + _FRAMED) if way.queue_packets else QUEUE_BYTES
    return QueueLimits(room, way.ecn_threshold_bytes)
