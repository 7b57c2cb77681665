"""The routing table: by which link, from which of our addresses and to which neighbour a packet leaves.

In: the addresses of the links; destinations. Out: a `Route`, None where there is none. Owns the table. The
longest prefix wins, then the older route; a route through a gateway names it. A connection keeps the route
that it was made with, as a socket keeps its dst entry. Source: net/ipv4/fib_trie.c, net/ipv6/route.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.inet.address import IfAddress
from nodes.inet.link import Link
from nodes.wire.ip import is_ipv6


@dataclass(frozen=True, slots=True)
class Route:
    """`source` is our address on `link`; `gateway` 0 says that the destination is a neighbour itself."""

    link: Link
    source: IfAddress
    gateway: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A prefix (`network` of `prefix` bits, shifted right by the host bits) and its route."""

    network: int
    prefix: int
    host_bits: int
    v6: bool
    route: Route


class RouteTable:
    def __init__(self) -> None:
        self._entries: list[_Entry] = []  # the longest prefix first

    def add(self, network: int, prefix: int, route: Route) -> None:
        """Route the `prefix` bits of `network`; both versions have a table of their own."""
        bits = route.source.address_bits
        host_bits = bits - prefix
        entry = _Entry(network >> host_bits, prefix, host_bits, bits == 128, route)
        self._entries.append(entry)
        self._entries.sort(key=lambda each: -each.prefix)  # stable: the older route stays in front

    def add_connected(self, link: Link) -> None:
        """The prefixes that lie on `link` itself."""
        for source in (link.v4, link.v6):
            if source.address:
                self.add(source.address, source.prefix, Route(link, source))

    def lookup(self, destination: int, source: int = 0, ifname: str = "") -> Route | None:
        """The route to `destination`. `source`: our address that packets must have, 0 for the route's choice;
        a route of that address's own link is taken, as hosts with several NICs set policy routes up.
        `ifname`: the route must leave by that device (SO_BINDTODEVICE). None for an address of our own, too:
        there is no loopback device."""
        v6 = is_ipv6(destination)
        for entry in self._entries:
            route = entry.route
            if (
                entry.v6 is v6
                and destination >> entry.host_bits == entry.network
                and source in (0, route.source.address)
                and ifname in ("", route.link.name)
            ):
                return route if self._is_unicast(destination, route) else None
        return None

    @staticmethod
    def _is_unicast(destination: int, route: Route) -> bool:
        """Whether `destination` is neither our own address nor the broadcast address of the link."""
        return destination not in (route.source.address, route.source.broadcast)
