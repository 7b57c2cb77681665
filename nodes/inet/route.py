"""The routing table: by which link, from which of our addresses and to which neighbour a packet leaves.

In: the links, entries, redirects; destinations. Out: a `Route`, or OSError with connect's errno where there
is none. Owns the table. The longest prefix wins, then the lower metric; among equals a route by the link that
has the packet's source address, as hosts with several NICs in one prefix have it by rules for source
addresses; then the first in the table. A connection keeps its route until the table changes (`generation`).
Source: net/ipv4/fib_trie.c (fib_table_insert, fib_table_delete, fib_table_lookup), fib_props of
net/ipv4/fib_semantics.c, ip_route_output_key_hash_rcu of net/ipv4/route.c, net/ipv6/route.c.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from nodes.inet.address import IfAddress
from nodes.inet.link import Link
from nodes.inet.redirect import Redirects
from nodes.wire import ip, ipv4, ipv6
from nodes.wire.ip import is_ipv6

UNICAST, BLACKHOLE, UNREACHABLE, PROHIBIT = 1, 6, 7, 8  # kinds of entries: RTN_*
KINDS = {"unicast": UNICAST, "blackhole": BLACKHOLE, "unreachable": UNREACHABLE, "prohibit": PROHIBIT}
REFUSALS = {BLACKHOLE: errno.EINVAL, UNREACHABLE: errno.EHOSTUNREACH, PROHIBIT: errno.EACCES}
RTPROT_KERNEL, RTPROT_BOOT, RTPROT_STATIC = 2, 3, 4
_LOOPBACK = 127


@dataclass(frozen=True, slots=True)
class Route:
    """What a packet takes. `source` is our address in it; `gateway` 0 says that the destination is a
    neighbour itself. Valid while the table has the same `generation`."""

    link: Link
    source: IfAddress
    gateway: int = 0
    generation: int = 0

    def next_hop(self, destination: int) -> int:
        return self.gateway or destination


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` bits of `network`, whose other bits are 0."""

    network: int
    length: int
    v6: bool

    @property
    def host_bits(self) -> int:
        return (128 if self.v6 else 32) - self.length

    def covers(self, destination: int, v6: bool) -> bool:
        return self.v6 is v6 and destination >> self.host_bits == self.network >> self.host_bits


@dataclass(frozen=True, slots=True)
class FibEntry:
    """A prefix and what becomes of packets to it. `link` is None in an entry that refuses them (`kind` of
    REFUSALS). `gateway` 0: they are neighbours; `source` 0: the link's own address. In a pattern for `delete`
    0 and None mean any."""

    prefix: Prefix
    link: Link | None
    gateway: int = 0
    source: int = 0
    metric: int = 0
    protocol: int = RTPROT_BOOT
    kind: int = UNICAST

    @property
    def place(self) -> tuple[Prefix, int]:
        """Two entries at one place are alternatives: the first is used."""
        return self.prefix, self.metric

    def matches(self, pattern: FibEntry) -> bool:
        asked = (
            (pattern.link, self.link), (pattern.gateway, self.gateway), (pattern.source, self.source),
            (pattern.metric, self.metric), (pattern.protocol, self.protocol), (pattern.kind, self.kind),
        )  # fmt: skip
        return self.prefix == pattern.prefix and all(not wanted or wanted == has for wanted, has in asked)


class RouteTable:
    """`links`: the host's. The prefixes that lie on them are in the table from the start."""

    def __init__(self, links: Collection[Link]) -> None:
        self.links = links
        self.generation = 0
        self._redirects = Redirects()
        self._lost: list[FibEntry] = []  # that come back when their link is up again
        self._entries: list[FibEntry] = []  # the longest prefix first, then the lower metric
        self._sources = {a.address: a for link in links for a in (link.v4, link.v6) if a.address}
        self._broadcasts = {link.v4.broadcast for link in links}
        for link in links:
            for source in (link.v4, link.v6):
                if source.address:
                    self.insert(_connected(link, source), ("create", "append"))

    def __iter__(self) -> Iterator[FibEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def is_ours(self, address: int) -> bool:
        return address in self._sources

    # --- changes

    def insert(self, entry: FibEntry, flags: Collection[str] = ("create",)) -> None:
        """`flags` as of RTM_NEWROUTE: with "excl", EEXIST where there is an entry at the same place;
        "replace" replaces it; "append" stands behind it, and otherwise the new one stands before it. ENOENT
        without "create" where there is none to replace. EEXIST for an entry that is there already."""
        table = self._entries
        same = [at for at, each in enumerate(table) if each.place == entry.place]
        if not same:
            if "create" not in flags:
                raise OSError(errno.ENOENT, "there is no such route to replace")
            table.append(entry)
        elif "excl" in flags:
            raise OSError(errno.EEXIST, "there is a route to that prefix with that metric")
        elif "replace" in flags and table[same[0]] == entry:
            return
        elif entry in table:
            raise OSError(errno.EEXIST, "there is such a route already")
        elif "replace" in flags:
            table[same[0]] = entry
        else:
            table.insert(same[-1] + 1 if "append" in flags else same[0], entry)
        table.sort(key=lambda each: (-each.prefix.length, each.metric))  # stable
        self._changed()

    def delete(self, pattern: FibEntry) -> None:
        """Remove the first entry that the pattern matches; ESRCH."""
        for at, each in enumerate(self._entries):
            if each.matches(pattern):
                del self._entries[at]
                self._changed()
                return
        raise OSError(errno.ESRCH, "there is no such route")

    def link_down(self, link: Link) -> None:
        """Every route by the link is gone (fib_sync_down_dev, rt6_disable_ip)."""
        lost = [each for each in self._entries if each.link is link]
        self._entries = [each for each in self._entries if each.link is not link]
        self._lost += (each for each in lost if each.protocol in (RTPROT_KERNEL, RTPROT_STATIC))
        self._redirects.drop_gateways(link.v4.is_on_link)
        self._changed()

    def link_up(self, link: Link) -> None:
        """The prefixes of our addresses are on the link again (fib_add_ifaddr, fixup_permanent_addr). What
        the host was configured with comes back as well, by what configured it."""
        back = [each for each in self._lost if each.link is link]
        self._lost = [each for each in self._lost if each.link is not link]
        for each in back:
            if each not in self._entries:
                self.insert(each, ("create", "append"))

    def _changed(self) -> None:
        """Routes that were handed out are looked up again (rt_cache_flush)."""
        self.generation += 1

    # --- what routers said

    def redirect(self, route: Route, destination: int, gateway: int, now: float) -> None:
        """The gateway of `route` says that `gateway` is nearer to `destination`."""
        if route.source.is_on_link(gateway) and gateway not in (route.gateway, route.source.broadcast):
            if route.link.neighbours.entry(gateway) is None:
                route.link.neighbours.solicit(gateway, now)  # it has to answer first (__ip_do_redirect)
                return
            self._redirects.learn(destination, route.gateway, gateway, now)
            self._changed()

    def forget_redirect(self, destination: int) -> None:
        """The next hop to `destination` does not answer: if a redirect named it, it is the old one again."""
        if self._redirects.forget(destination):
            self._changed()

    def next_timeout(self) -> float | None:
        return self._redirects.next_timeout()

    def handle_timeout(self, now: float) -> None:
        if self._redirects.expire(now):
            self._changed()

    # --- lookup

    def lookup(self, destination: int, source: int = 0, ifname: str = "") -> Route | None:
        """As `resolve`; None where there is no route."""
        try:
            return self.resolve(destination, source, ifname)
        except OSError:
            return None

    def resolve(self, destination: int, source: int = 0, ifname: str = "") -> Route:
        """The route to `destination`. `source`: our address that packets have, 0 for the route's choice; as
        in Linux it does not exclude a route by another link (the weak host model). `ifname`: the route must
        leave by that device (SO_BINDTODEVICE); without an entry by it an IPv4 destination is taken for a
        neighbour there, as in Linux. ENETUNREACH without a route, for an address of our own, since there is
        no loopback device, and for what is no host's address. EHOSTUNREACH, EACCES or EINVAL where an
        entry refuses."""
        v6 = is_ipv6(destination)
        found = self._find(destination, source, ifname) if self._is_host(destination) else None
        if found is None:
            raise OSError(errno.ENETUNREACH, f"no route to {ip.address_text(destination)}")
        if found.link is None:
            raise OSError(REFUSALS[found.kind], f"a route refuses {ip.address_text(destination)}")
        ours = self._source(found.link, source or found.source, v6)
        gateway = found.gateway and self._redirects.gateway(destination, found.gateway)
        return Route(found.link, ours, 0 if gateway == destination else gateway, self.generation)

    def link_of_neighbour(self, address: int, wanted: Link | None) -> Link | None:
        """The link, or whether it is the wanted one, on which `address` is a neighbour."""
        for each in self._entries if self._is_host(address) else ():
            direct = each.link is not None and not each.gateway
            if direct and wanted in (None, each.link) and each.prefix.covers(address, is_ipv6(address)):
                return each.link
        return None

    def _find(self, destination: int, source: int, ifname: str) -> FibEntry | None:
        v6 = is_ipv6(destination)
        usable = [
            each
            for each in self._entries
            if each.prefix.covers(destination, v6)
            and (not ifname or (each.link is not None and each.link.name == ifname))
        ]
        if not usable:
            device = next((link for link in self.links if link.name == ifname), None)
            if device is None or v6 or not device.up:
                return None
            return FibEntry(Prefix(destination, 32, v6=False), device)
        equals = itertools.takewhile(lambda each: each.place == usable[0].place, usable)
        of_source = (e for e in equals if e.link is not None and source in e.link.addresses)
        return next(of_source, usable[0])

    def _source(self, link: Link, wanted: int, v6: bool) -> IfAddress:
        """Our address in packets by `link`: the wanted one, the link's, or another link's."""
        if wanted:
            if wanted not in self._sources or is_ipv6(wanted) is not v6:
                raise OSError(errno.ENETUNREACH, f"{ip.address_text(wanted)} is no address of this host")
            return self._sources[wanted]
        own = link.v6 if v6 else link.v4
        if own.address:
            return own
        others = (a for address, a in self._sources.items() if is_ipv6(address) is v6)
        other = next(others, None)
        if other is None:
            raise OSError(errno.ENETUNREACH, "this host has no address of that IP version")
        return other

    def _is_host(self, destination: int) -> bool:
        """Whether `destination` is the address of one host, and not of this one."""
        if destination in self._sources or destination in self._broadcasts:
            return False
        if is_ipv6(destination):
            return not ipv6.is_multicast(destination)
        return ipv4.is_unicast(destination) and destination >> 24 != _LOOPBACK


def network_of(address: int, length: int, v6: bool) -> Prefix:
    """The prefix that `address` lies in."""
    host_bits = (128 if v6 else 32) - length
    return Prefix(address >> host_bits << host_bits, length, v6)


def _connected(link: Link, source: IfAddress) -> FibEntry:
    """The prefix that lies on a link, as Linux makes its entry when it gets the address."""
    v6 = source is link.v6
    metric = 256 if v6 else 0  # IP6_RT_PRIO_ADDRCONF
    prefix = network_of(source.address, source.prefix, v6)
    return replace(FibEntry(prefix, link), source=0 if v6 else source.address, metric=metric,
                   protocol=RTPROT_KERNEL)  # fmt: skip
