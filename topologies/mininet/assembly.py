"""From a part of a topology to a Mininet network: bridges, routers, relays, tunnels, limits, addresses.

In: a `Part`; the caller is in network and pid namespaces of its own. Out: a started Mininet network. Owns
nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mininet.link import Intf
from mininet.net import Mininet
from mininet.topo import Topo

from topologies.mininet import batch, qdisc, routing, sysctl, tunnel
from topologies.mininet.host_names import give_names
from topologies.mininet.node import FabricHost, FabricLink, FabricRelay, FabricRouter, FabricSwitch
from topologies.mininet.rtnetlink import LinkSocket
from topologies.part import Part
from topologies.segments import is_uplink
from topologies.switch import Switch


def assemble(part: Part, underlay: int) -> Any:
    """The network, in operation. `underlay`: a descriptor of the network namespace that tunnels send from.
    Raises OSError, TopologyError."""
    with LinkSocket() as links:
        links.up("lo")
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        switch.write_text("0")  # bridged frames would take a detour through the packet filter
    give_names(part.topology)
    Mininet.inited = True  # Mininet's init() would change limits of the whole machine for good
    net = FabricNet(part, underlay)
    net.start()
    for number, router in enumerate(part.topology.routers):
        if router.name in part.nodes:
            _join_segment(net[router.name], part, router)
            sysctl.apply(net[router.name].pid, sysctl.ROUTER | sysctl.multipath_seed(number))
    _set_limits(net, part)
    _cut_datagrams(net, part)
    _give_addresses(net, part)
    for name, asked in qdisc.buckets(part.topology.links).items():
        if name in part.nodes:
            give_rates(net[name], asked)
    return net


def interfaces(part: Part) -> list[tuple[str, str, bool]]:
    """Every link end, then every bridge: its node, its name, and whether its node's namespace has it."""
    ends = [(end.node, end.interface, True) for link in part.links for end in part.ends(link)]
    bridges = [(switch.name, switch.name, False) for switch in part.switches if switch.kind == "bridge"]
    inside = [(router.name, router.local.interface, True) for router in part.routers if router.local]
    middles = [(end.node, end.interface, True) for relay in part.relays for end in (relay.near, relay.far)]
    return ends + bridges + inside + middles


def links_of(net: Any, node: str, in_node: bool) -> LinkSocket:
    """The interfaces of a node; a bridge and its ports are in the builder's own namespace."""
    return LinkSocket(net[node].pid if in_node else None)


class FabricNet(Mininet):  # type: ignore[misc]
    """A Mininet network whose nodes have halves of tunnels, too, before they are configured."""

    def __init__(self, part: Part, underlay: int) -> None:
        self._part, self._underlay = part, underlay
        super().__init__(_mininet_topo(part), FabricSwitch, FabricHost, controller=None, link=FabricLink)

    def configHosts(self) -> None:
        nics = {nic.interface: nic for host in self._part.hosts for nic in host.nics}
        tunnel.make(self._part.tunnels, nics, self._underlay)
        for each in self._part.tunnels:
            interface = each.end.interface
            address = {"ip": nics[interface].kernel_address} if interface in nics else {}
            Intf(interface, node=self[each.end.node], **address)
        tunnel.bring_up(self, self._part.tunnels)
        super().configHosts()


def _mininet_topo(part: Part) -> Topo:
    topo = Topo()
    nics = {nic.interface: nic for host in part.hosts for nic in host.nics}
    pairs = [pair for link in part.links for pair in part.pairs(link)]
    made = [*itertools.chain(*pairs), *(each.end for each in part.tunnels)]  # in the order of Mininet's ports
    firsts = {end.node: end.interface for end in reversed(made)}
    for host in part.hosts:
        topo.addHost(host.name, ip=nics[firsts[host.name]].kernel_address)  # of the first interface, again
    switches = part.topology.switches
    for number, switch in enumerate(switches, 1):
        kind = FabricRouter if switch.kind == "router" else FabricSwitch
        if switch.name in part.nodes:
            topo.addSwitch(switch.name, cls=kind, dpid=f"{number:x}")  # a name may be without a number
    for number, relay in enumerate(part.relays, len(switches) + 1):
        topo.addSwitch(relay.name, cls=FabricRelay, dpid=f"{number:x}")
    for pair in pairs:
        options: dict[str, Any] = {}
        for number, end in enumerate(pair, 1):
            options[f"intfName{number}"] = end.interface
            if nic := nics.get(end.interface):
                options[f"addr{number}"] = nic.kernel_mac
                options[f"params{number}"] = {"ip": nic.kernel_address}
                options[f"queues{number}"] = nic.rx_queues, nic.tx_queues
        topo.addLink(pair[0].node, pair[1].node, **options)
    return topo


def _join_segment(node: Any, part: Part, router: Switch) -> None:
    kinds = part.topology.kinds
    local = [link for link in part.links if not is_uplink(link, kinds)]
    ports = [end.interface for link in local for end in link.ends if end.node == router.name]
    batch.ip(node, 4, routing.link_lines(router, ports))


def _set_limits(net: Any, part: Part) -> None:
    for link in part.links:
        halves = [each.end for each in part.tunnels if each.link == link.name]
        for end in itertools.chain(*part.pairs(link), halves):
            with links_of(net, end.node, True) as links:
                links.set(end.interface, link.mtu, link.gso_max_bytes)
    kinds = part.topology.kinds
    for switch in part.switches:  # a bridge allows what its ports allow, so they come first
        ports = [
            link
            for link in part.links
            if switch.name in (link.a.node, link.b.node) and not is_uplink(link, kinds)
        ]
        if ports:
            with links_of(net, switch.name, switch.kind == "router") as links:
                links.set(switch.name, min(p.mtu for p in ports), min(p.gso_max_bytes for p in ports))


def _cut_datagrams(net: Any, part: Part) -> None:
    """A relay knows the wire packets of TCP's super-packets only: others are cut before they reach one."""
    for end in (end for link in part.links if link.is_relayed for end in part.ends(link)):
        batch.run(net[end.node], ["ethtool", "-K", end.interface, "tx-udp-segmentation", "off"], [])


def _give_addresses(net: Any, part: Part) -> None:
    """Those of IPv6 and of routers, and everybody's routes; Mininet gave hosts those of IPv4."""
    versions = (4, 6) if sysctl.has_ipv6() else (4,)
    for host in part.hosts:
        node = net[host.name]
        with_ipv6 = [nic.interface for nic in host.nics if nic.kernel_address6]
        if with_ipv6:
            sysctl.apply(node.pid, sysctl.ipv6_of(["lo", *with_ipv6]))
        if len(host.nics) > 1:
            sysctl.apply(node.pid, sysctl.SEVERAL_NICS)
        for version in versions:
            batch.ip(node, version, routing.host_lines(host, version))
    for router in part.routers:
        node = net[router.name]
        with_ipv6 = [each.interface for each in router.interfaces if each.address6]
        if with_ipv6:
            sysctl.apply(node.pid, sysctl.ipv6_of(["lo", *with_ipv6], link_local=True))
        for version in versions:
            batch.ip(node, version, routing.router_lines(router, version))


def give_rates(node: Any, asked: Mapping[str, qdisc.TokenBucket]) -> None:
    """Token buckets of interfaces of a node, by their names, read back. Raises TopologyError."""
    batch.run(node, ["tc", "-batch", "-"], [bucket.line(interface) for interface, bucket in asked.items()])
    qdisc.check(batch.run(node, ["tc", "-json", "qdisc"], []), asked)
