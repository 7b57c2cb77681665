"""From a topology to a Mininet network: bridges, routers, relays, limits, addresses.

In: a `Topology`; the caller is in network and pid namespaces of its own. Out: a started Mininet network.
Owns nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mininet.net import Mininet
from mininet.topo import Topo

from topologies.link import Link, LinkEnd
from topologies.mininet import batch, qdisc, routing, sysctl
from topologies.mininet.host_names import give_names
from topologies.mininet.node import FabricHost, FabricLink, FabricRelay, FabricRouter, FabricSwitch
from topologies.mininet.rtnetlink import LinkSocket
from topologies.relay import Relay, relays
from topologies.segments import is_uplink
from topologies.switch import Switch
from topologies.topology import Topology


def assemble(topology: Topology) -> Any:
    """The network, in operation. Raises OSError, TopologyError."""
    with LinkSocket() as links:
        links.up("lo")
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        switch.write_text("0")  # bridged frames would take a detour through the packet filter
    give_names(topology)
    Mininet.inited = True  # Mininet's init() would change limits of the whole machine for good
    topo = _mininet_topo(topology)
    net = Mininet(topo, FabricSwitch, FabricHost, controller=None, link=FabricLink)
    net.start()
    for number, router in enumerate(topology.routers):
        _join_segment(net[router.name], topology, router)
        sysctl.apply(net[router.name].pid, sysctl.ROUTER | sysctl.multipath_seed(number))
    _set_limits(net, topology)
    _cut_datagrams(net, topology)
    _give_addresses(net, topology)
    for name, asked in qdisc.buckets(topology.links).items():
        give_rates(net[name], asked)
    return net


def interfaces(topology: Topology) -> list[tuple[str, str, bool]]:
    """Every link end, then every bridge: its node, its name, and whether its node's namespace has it."""
    ends = [(end.node, end.interface, True) for link in topology.links for end in link.ends]
    bridges = [(switch.name, switch.name, False) for switch in topology.switches if switch.kind == "bridge"]
    inside = [(router.name, router.local.interface, True) for router in topology.routers if router.local]
    middles = [
        (end.node, end.interface, True) for relay in relays(topology) for end in (relay.near, relay.far)
    ]
    return ends + bridges + inside + middles


def links_of(net: Any, node: str, in_node: bool) -> LinkSocket:
    """The interfaces of a node; a bridge and its ports are in the builder's own namespace."""
    return LinkSocket(net[node].pid if in_node else None)


def _mininet_topo(topology: Topology) -> Topo:
    topo = Topo()
    nics = {nic.interface: nic for host in topology.hosts for nic in host.nics}
    for host in topology.hosts:
        topo.addHost(host.name, ip=host.nics[0].kernel_address)  # of the first interface, again
    for number, switch in enumerate(topology.switches, 1):
        kind = FabricRouter if switch.kind == "router" else FabricSwitch
        topo.addSwitch(switch.name, cls=kind, dpid=f"{number:x}")  # a name may be without a number
    middles = {relay.link: relay for relay in relays(topology)}
    for number, relay in enumerate(middles.values(), len(topology.switches) + 1):
        topo.addSwitch(relay.name, cls=FabricRelay, dpid=f"{number:x}")
    for link in topology.links:
        for pair in _pairs(link, middles.get(link)):
            options: dict[str, Any] = {}
            for number, end in enumerate(pair, 1):
                options[f"intfName{number}"] = end.interface
                if nic := nics.get(end.interface):
                    options[f"addr{number}"] = nic.kernel_mac
                    options[f"params{number}"] = {"ip": nic.kernel_address}
                    options[f"queues{number}"] = nic.rx_queues, nic.tx_queues
            topo.addLink(pair[0].node, pair[1].node, **options)
    return topo


def _pairs(link: Link, relay: Relay | None) -> list[tuple[LinkEnd, LinkEnd]]:
    """The veth pairs that a link is made of."""
    return [link.ends] if relay is None else [(link.a, relay.near), (relay.far, link.b)]


def _join_segment(node: Any, topology: Topology, router: Switch) -> None:
    kinds = topology.kinds
    local = [link for link in topology.links if not is_uplink(link, kinds)]
    ports = [end.interface for link in local for end in link.ends if end.node == router.name]
    batch.ip(node, 4, routing.link_lines(router, ports))


def _set_limits(net: Any, topology: Topology) -> None:
    middles = {relay.link: relay for relay in relays(topology)}
    for link in topology.links:
        for end in itertools.chain(*_pairs(link, middles.get(link))):
            with links_of(net, end.node, True) as links:
                links.set(end.interface, link.mtu, link.gso_max_bytes)
    kinds = topology.kinds
    for switch in topology.switches:  # a bridge allows what its ports allow, so they come first
        ports = [
            link
            for link in topology.links
            if switch.name in (link.a.node, link.b.node) and not is_uplink(link, kinds)
        ]
        if ports:
            with links_of(net, switch.name, switch.kind == "router") as links:
                links.set(switch.name, min(p.mtu for p in ports), min(p.gso_max_bytes for p in ports))


def _cut_datagrams(net: Any, topology: Topology) -> None:
    """A relay knows the wire packets of TCP's super-packets only: others are cut before they reach one."""
    for end in (end for relay in relays(topology) for end in relay.link.ends):
        batch.run(net[end.node], ["ethtool", "-K", end.interface, "tx-udp-segmentation", "off"], [])


def _give_addresses(net: Any, topology: Topology) -> None:
    """Those of IPv6 and of routers, and everybody's routes; Mininet gave hosts those of IPv4."""
    versions = (4, 6) if sysctl.has_ipv6() else (4,)
    for host in topology.hosts:
        node = net[host.name]
        with_ipv6 = [nic.interface for nic in host.nics if nic.kernel_address6]
        if with_ipv6:
            sysctl.apply(node.pid, sysctl.ipv6_of(["lo", *with_ipv6]))
        if len(host.nics) > 1:
            sysctl.apply(node.pid, sysctl.SEVERAL_NICS)
        for version in versions:
            batch.ip(node, version, routing.host_lines(host, version))
    for router in topology.routers:
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
