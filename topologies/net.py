"""The object that a shape's function draws a network on, as a Mininet Topo's build method does on itself.

In: calls of `host`, `switch`, `router` and `link`. Out: `Net.topology`, with addresses and routes. Owns the
draft and the names that it gives: h1, h2, ..., s1, s2, ... for bridges, r1, r2, ... for routers; h1-eth0 is a
host's first interface and s1-eth1 a switch's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from topologies.address_plan import HOSTS_MAX
from topologies.draft import Draft, HostDraft, NicDraft, SwitchDraft
from topologies.host import Role
from topologies.link import GSO_LEGACY_MAX_BYTES, Link, LinkEnd
from topologies.link_options import LinkOptions
from topologies.plan import planned
from topologies.switch import Kind
from topologies.topology import Topology
from topologies.topology_error import TopologyError

_MTU = 1500


class Net:
    """`asked`: what every link has unless it says otherwise; `bottleneck`: likewise those links that are a
    bottleneck, over `asked`."""

    def __init__(
        self,
        asked: LinkOptions | None = None,
        bottleneck: LinkOptions | None = None,
        gso_max_bytes: int = GSO_LEGACY_MAX_BYTES,
    ) -> None:
        self.draft = Draft("")
        self.has_bottleneck = False
        self._asked = asked or LinkOptions()
        self._bottleneck = bottleneck or LinkOptions()
        self._gso_max_bytes = gso_max_bytes
        self._numbers: Counter[str] = Counter()  # the last one, by letter or by node
        self._hosts: dict[str, HostDraft] = {}
        self._switches: set[str] = set()
        self._linked: set[str] = set()  # interfaces that end a link

    def host(self, name: str = "", role: Role = "compute", accelerators: int = 1) -> str:
        """A host; returns its name. Each of its links gives it a NIC, beside which the accelerators sit."""
        if len(self.draft.hosts) == HOSTS_MAX:
            raise TopologyError(f"the network has more than {HOSTS_MAX} hosts; ask for fewer")
        host = HostDraft(name or self._next("h"), role, accelerators)
        self.draft.hosts.append(host)
        self._hosts[host.name] = host
        return host.name

    def switch(self, name: str = "") -> str:
        """A learning Ethernet switch; returns its name. Switches may not be linked in a circle."""
        return self._add_switch(name or self._next("s"), "bridge")

    def router(self, name: str = "") -> str:
        """A switch that routes, over all shortest paths; returns its name. Its hosts are a segment."""
        return self._add_switch(name or self._next("r"), "router")

    def link(self, a: str, b: str, bottleneck: bool = False, **asked: Any) -> None:
        """A link between two nodes. `asked`: fields of `topologies.link_options.LinkOptions`, as in
        net.link(a, b, rate="100Mbit", delay="5us"). Raises TopologyError."""
        self.has_bottleneck |= bottleneck
        defaults = self._bottleneck.over(self._asked) if bottleneck else self._asked
        self.add_link((self.end(a), self.end(b)), LinkOptions(**asked).over(defaults))

    def add_link(self, ends: tuple[LinkEnd, LinkEnd], options: LinkOptions) -> None:
        """A link between interfaces, of which `options` say all. Raises TopologyError."""
        up, down = options.ways()
        mtu = _MTU if options.mtu is None else options.mtu
        back = None if down == up else down
        self.draft.links.append(Link(*ends, mtu, self._gso_max_bytes, back, **msgspec.structs.asdict(up)))

    def end(self, node: str, interface: str = "") -> LinkEnd:
        """An end for a link at `node`: that interface, or its next one. Raises TopologyError."""
        host = self._hosts.get(node)
        if host is None and node not in self._switches:
            raise TopologyError(
                f"a link ends at {node!r}, which is no host or switch; add it before the link"
            )
        if host is not None:
            listed = [nic.interface for nic in host.nics]
            interface = interface or next((each for each in listed if each not in self._linked), "")
            interface = interface or f"{node}-eth{len(listed)}"
            if interface not in listed:
                host.nics.append(NicDraft(interface))
        else:
            self._numbers[node] += 1
            interface = interface or f"{node}-eth{self._numbers[node]}"
        self._linked.add(interface)
        return LinkEnd(node, interface)

    @property
    def asked(self) -> LinkOptions:
        """What links have unless they say otherwise."""
        return self._asked

    def topology(self, shape: str) -> Topology:
        """The finished network. Raises TopologyError."""
        self.draft.shape = shape
        return planned(self.draft)

    def _add_switch(self, name: str, kind: Kind) -> str:
        self.draft.switches.append(SwitchDraft(name, kind))
        self._switches.add(name)
        return name

    def _next(self, letter: str) -> str:
        self._numbers[letter] += 1
        return f"{letter}{self._numbers[letter]}"


def spread(hosts: int, places: int) -> list[int]:
    """How many of `hosts` each of `places` has, as evenly as possible, the first ones more."""
    each, more = divmod(hosts, places)
    return [each + 1] * more + [each] * (places - more)
