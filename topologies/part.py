"""A topology divided among machines: which nodes each carries, and the links between two of them.

In: a topology, how many machines, which nodes were asked to be where; the machines' addresses. Out: a `Part`
a machine. Owns nothing; pure. Names, addresses, routes and relays are those of the whole topology: what a
host sees does not depend on where the others are. A link whose ends are on two machines becomes a tunnel,
with half of it on each: a VXLAN device (RFC 7348) with a network identifier of the link's own and one remote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from topologies.host import Host
from topologies.link import Link, LinkEnd
from topologies.relay import Relay, relays
from topologies.switch import Switch
from topologies.topology import Topology
from topologies.topology_error import TopologyError

PORT = 4789  # IANA's, of VXLAN
VNI_MAX = (1 << 24) - 1
HEADERS_V4, HEADERS_V6 = 50, 70  # Ethernet, VXLAN, UDP and IP around an emulated packet


class Tunnel(msgspec.Struct, frozen=True):
    """Half of a link between two machines: the interface `end` of a node is a VXLAN device, whose packets go
    from the machine's address `local` to `remote`, UDP port `port`. `link`: its name."""

    link: str
    end: LinkEnd
    vni: int
    local: str
    remote: str
    port: int

    @property
    def header_bytes(self) -> int:
        """What the underlay carries beside an emulated packet."""
        return HEADERS_V6 if ":" in self.remote else HEADERS_V4


class Part(msgspec.Struct, frozen=True):
    """What one machine carries of a topology: `nodes` are hosts and switches, by name."""

    topology: Topology
    nodes: tuple[str, ...]
    tunnels: tuple[Tunnel, ...] = ()

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(host for host in self.topology.hosts if host.name in self.nodes)

    @property
    def switches(self) -> tuple[Switch, ...]:
        return tuple(switch for switch in self.topology.switches if switch.name in self.nodes)

    @property
    def routers(self) -> tuple[Switch, ...]:
        return tuple(switch for switch in self.switches if switch.kind == "router")

    @property
    def links(self) -> tuple[Link, ...]:
        """Those that have an end here."""
        return tuple(link for link in self.topology.links if self.ends(link))

    @property
    def whole_links(self) -> tuple[Link, ...]:
        """Those that have both ends here."""
        return tuple(link for link in self.topology.links if len(self.ends(link)) == 2)

    @property
    def relays(self) -> tuple[Relay, ...]:
        """A relay is where its link's first end is."""
        return tuple(relay for relay in relays(self.topology) if relay.link.a.node in self.nodes)

    def ends(self, link: Link) -> tuple[LinkEnd, ...]:
        """Those of a link that are here."""
        return tuple(end for end in link.ends if end.node in self.nodes)

    def pairs(self, link: Link) -> tuple[tuple[LinkEnd, LinkEnd], ...]:
        """The veth pairs that the link has here."""
        relay = next((each for each in self.relays if each.link == link), None)
        is_whole = len(self.ends(link)) == 2
        if relay is None:
            return (link.ends,) if is_whole else ()
        near = (link.a, relay.near)
        return (near, (relay.far, link.b)) if is_whole else (near,)


def whole(topology: Topology) -> Part:
    """All of it, on one machine."""
    names = [host.name for host in topology.hosts] + [switch.name for switch in topology.switches]
    return Part(topology, tuple(names))


def homes(topology: Topology, machines: int, asked: Mapping[str, int] | None = None) -> dict[str, int]:
    """The machine of every node, by number from 0. Hosts are divided evenly in their order. A switch goes
    where most of its neighbours are that have been placed before; of several such machines to the one with
    the fewest switches. `asked`: nodes whose machine is decided. Raises TopologyError."""
    asked = dict(asked or {})
    hosts = [host.name for host in topology.hosts]
    switches = [switch.name for switch in topology.switches]
    if unknown := asked.keys() - {*hosts, *switches}:
        raise TopologyError(
            f"there is no host or switch {min(unknown)!r}; choose from {', '.join((*hosts, *switches))}"
        )
    if far := [number for number in asked.values() if not 0 <= number < machines]:
        raise TopologyError(f"there is no machine {far[0] + 1}; choose from 1 to {machines}")
    found = {name: asked.get(name, at * machines // len(hosts)) for at, name in enumerate(hosts)}
    if empty := set(range(machines)) - set(found.values()):
        raise TopologyError(
            f"machine {min(empty) + 1} of {machines} has no host of {len(hosts)}; ask for fewer machines"
        )
    found |= {name: asked[name] for name in switches if name in asked}
    _place_switches(topology, [name for name in switches if name not in asked], found, machines)
    return found


def _place_switches(topology: Topology, waiting: list[str], found: dict[str, int], machines: int) -> None:
    neighbours: dict[str, list[str]] = {}
    for link in topology.links:
        neighbours.setdefault(link.a.node, []).append(link.b.node)
        neighbours.setdefault(link.b.node, []).append(link.a.node)
    load = Counter(found[each.name] for each in topology.switches if each.name in found)
    while waiting:
        votes = {
            name: Counter(found[near] for near in neighbours.get(name, ()) if near in found)
            for name in waiting
        }
        linked = [name for name in waiting if votes[name]]
        for name in linked or waiting[:1]:  # what is linked to nothing goes anywhere
            own = votes[name]
            found[name] = max(range(machines), key=lambda at: (own[at], -load[at], -at))
            load[found[name]] += 1
            waiting.remove(name)


def split(
    topology: Topology, places: Mapping[str, int], addresses: Sequence[str], first_vni: int, port: int = PORT
) -> tuple[Part, ...]:
    """A part for each of `addresses`, which the machines of `places` (see `homes`) have on their common
    network. Every link is whole in one part, or has half a tunnel in each of two."""
    middles = {relay.link: relay for relay in relays(topology)}
    tunnels: list[list[Tunnel]] = [[] for _ in addresses]
    cut = [link for link in topology.links if places[link.a.node] != places[link.b.node]]
    for vni, link in enumerate(cut, first_vni):
        a, b = (places[end.node] for end in link.ends)
        first = middles[link].far if link in middles else link.a
        tunnels[a].append(Tunnel(link.name, first, vni, addresses[a], addresses[b], port))
        tunnels[b].append(Tunnel(link.name, link.b, vni, addresses[b], addresses[a], port))
    return tuple(
        Part(topology, tuple(name for name, home in places.items() if home == at), tuple(tunnels[at]))
        for at in range(len(addresses))
    )
