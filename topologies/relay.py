"""The relays of a network: nodes in the middle of links that delay, lose, change or mark packets.

In: a topology. Out: a record for each such link. Owns nothing. A relay is no switch: no address is known of
it, and no packet is sent to it.
"""

from __future__ import annotations

import itertools

import msgspec

from topologies.link import Link, LinkEnd
from topologies.topology import Topology

_LETTER = "w"  # of wire


class Relay(msgspec.Struct, frozen=True):
    """`near` and `far`: its interfaces towards `link.a` and `link.b`."""

    name: str
    link: Link

    @property
    def near(self) -> LinkEnd:
        return LinkEnd(self.name, f"{self.name}-eth0")

    @property
    def far(self) -> LinkEnd:
        return LinkEnd(self.name, f"{self.name}-eth1")


def relays(topology: Topology) -> tuple[Relay, ...]:
    """In the order of their links: w1, w2, ..., without names that the topology has."""
    taken = {host.name for host in topology.hosts} | {switch.name for switch in topology.switches}
    taken |= {end.interface.partition("-")[0] for link in topology.links for end in link.ends}
    names = (name for n in itertools.count(1) if (name := f"{_LETTER}{n}") not in taken)
    relayed = [link for link in topology.links if link.is_relayed]
    return tuple(Relay(name, link) for name, link in zip(names, relayed, strict=False))
