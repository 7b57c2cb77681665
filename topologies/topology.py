"""Hosts, switches and the links between them: passive, validated data.

In: records of `topologies.host`, `topologies.switch` and `topologies.link`. Out: a frozen `Topology` that the
fabric's builder turns into interfaces and run.py into endpoints' configurations. Owns nothing.
"""

from __future__ import annotations

import msgspec

from topologies.host import Host
from topologies.link import Link, LinkEnd
from topologies.names import check_unique, listed
from topologies.segments import Segment, is_uplink, segments
from topologies.switch import Kind, Switch
from topologies.topology_error import TopologyError
from topologies.traffic.entry import TrafficEntry


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hosts, switches and the links between them. Raises TopologyError unless every name, interface, address
    and MAC is unique, every link ends at known nodes, every NIC's interface is an end of a link, links
    between routers are those of their uplinks, and no loop of bridges is closed. `shape`: the
    shape's or the file's name. `traffic`: what the file asks for, as it is written."""

    shape: str
    hosts: tuple[Host, ...]
    switches: tuple[Switch, ...]
    links: tuple[Link, ...]
    traffic: tuple[TrafficEntry, ...] = ()

    def __post_init__(self) -> None:
        ends = [end for link in self.links for end in link.ends]
        nics = [nic for host in self.hosts for nic in host.nics]
        nodes = [host.name for host in self.hosts] + [switch.name for switch in self.switches]
        routed = [interface for switch in self.switches for interface in switch.interfaces]
        check_unique("name", nodes)
        check_unique("index", [str(host.index) for host in self.hosts])
        check_unique("interface", [end.interface for end in ends])
        addresses = [address for nic in nics for address in nic.addresses]
        addresses += [address for interface in routed for address in interface.addresses]
        check_unique("address", [address.split("/")[0] for address in addresses])
        macs = [mac for nic in nics for mac in (nic.kernel_mac, nic.endpoint_mac)]
        check_unique("MAC", [*macs, *(interface.mac for interface in routed)])
        known = set(nodes)
        for end in ends:
            if end.node not in known:
                raise TopologyError(
                    f"a link ends at {end.node!r}, which is no host or switch; known: {listed(nodes)}"
                )
        self._check_nics(set(ends))
        self._check_uplinks()
        self.segments()

    def host(self, name: str) -> Host:
        """The host of that name; raises TopologyError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise TopologyError(f"there is no host {name!r}; known: {listed(host.name for host in self.hosts)}")

    def switch(self, name: str) -> Switch:
        """The switch of that name; raises TopologyError when there is none."""
        for switch in self.switches:
            if switch.name == name:
                return switch
        raise TopologyError(
            f"there is no switch {name!r}; known: {listed(switch.name for switch in self.switches)}"
        )

    def segments(self) -> tuple[Segment, ...]:
        """Which NICs are neighbours. Raises TopologyError."""
        nics = [LinkEnd(host.name, nic.interface) for host in self.hosts for nic in host.nics]
        return segments(nics, self.kinds, self.links)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {switch.name: switch.kind for switch in self.switches}

    @property
    def routers(self) -> tuple[Switch, ...]:
        return tuple(switch for switch in self.switches if switch.kind == "router")

    def _check_nics(self, ends: set[LinkEnd]) -> None:
        for host in self.hosts:
            for nic in host.nics:
                if LinkEnd(host.name, nic.interface) not in ends:
                    raise TopologyError(
                        f"interface {nic.interface} of host {host.name} ends no link; connect it to one"
                    )

    def _check_uplinks(self) -> None:
        """Routers have an uplink for each link to a router, and none else."""
        kinds = self.kinds
        linked = {end for link in self.links if is_uplink(link, kinds) for end in link.ends}
        named = {LinkEnd(each.name, port.interface) for each in self.routers for port in each.uplinks}
        for end in (linked | named) - (linked & named):
            what = (
                "an uplink, but no link to a router" if end in named else "a link to a router, but no uplink"
            )
            raise TopologyError(f"router {end.node} has {what}, at {end.interface}; give it both or neither")
