"""IP fragments in, whole packets out. Owns the fragments: host memory, bounded in bytes and in time.

A fragment that overlaps another drops the whole packet, since only attackers send such (RFC 5722, RFC 8200
section 4.5); an exact duplicate is ignored. Source: net/ipv4/inet_fragment.c, ip_fragment.c (ipfrag_time,
ipfrag_high_thresh), net/ipv6/reassembly.c.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from nodes.inet.link import Link
from nodes.inet.mib import IpMib
from nodes.wire import ipv4, ipv6
from nodes.wire.ip import IpFragment

MEMORY_MAX = 4 << 20
KEPT_S, KEPT_V6_S = 30.0, 60.0  # sysctls ipfrag_time and ip6frag_time
PACKET_MAX = 0xFFFF
_PIECE_COST = 256  # bytes of bookkeeping a fragment: a flood of tiny ones is bounded too


@dataclass(frozen=True, slots=True)
class FirstFragment:
    """What an ICMP error must know of the first fragment: the packet, from its IP header on; from which link
    and MAC it came."""

    packet: bytes
    link: Link
    mac: bytes


@dataclass(slots=True)
class _Partial:
    """A packet with missing fragments. `offsets` is sorted; `pieces` has the bytes at each offset."""

    expires_at: float
    header: bytes = b""  # the IP header, of the first fragment
    first: FirstFragment | None = None
    total: int = -1  # payload bytes, known with the last fragment
    have: int = 0
    cost: int = 0
    offsets: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)


class IpFragments:
    """Of one version of IP. `kept_s`: how long a packet may take to become whole."""

    def __init__(self, mib: IpMib, kept_s: float = KEPT_S) -> None:
        self._mib = mib
        self._kept_s = kept_s
        self._partial: dict[tuple[int, ...], _Partial] = {}  # the oldest first
        self._cost = 0

    def add(self, fragment: IpFragment, now: float, first: FirstFragment | None = None) -> bytes | None:
        """The whole packet, with an unfragmented header, if this was its last missing fragment. `first`: how
        the fragment with offset 0 came."""
        v6 = fragment.header[0] >> 4 == 6
        self._count("Reqds", v6)
        partial = self._partial.get(fragment.key)
        if partial is None:
            partial = self._partial[fragment.key] = _Partial(now + self._kept_s)
        fits = self._insert(partial, fragment)
        if fits and first is not None:
            partial.first = first
        if fits is None:
            return None
        if not fits:
            self._drop(fragment.key)
            self._count("Fails", v6)
            return None
        while self._cost > MEMORY_MAX:
            self._drop(next(iter(self._partial)))
            self._count("Fails", v6)
        if partial.have != partial.total or fragment.key not in self._partial:
            return None
        self._drop(fragment.key)
        self._count("OKs", v6)
        unfragmented = ipv6.unfragmented if v6 else ipv4.unfragmented
        return unfragmented(partial.header, b"".join(partial.pieces))

    def _insert(self, partial: _Partial, fragment: IpFragment) -> bool | None:
        """Insert the fragment. False when it makes the packet invalid; None for an exact duplicate."""
        start, end = fragment.offset, fragment.offset + len(fragment.data)
        at = bisect.bisect_left(partial.offsets, start)
        if at < len(partial.offsets) and partial.offsets[at] == start:
            same = len(partial.pieces[at]) == end - start
            return None if same and (fragment.more or partial.total == end) else False
        if at and partial.offsets[at - 1] + len(partial.pieces[at - 1]) > start:
            return False
        if at < len(partial.offsets) and partial.offsets[at] < end:
            return False
        if not fragment.more:
            if partial.total >= 0 or at < len(partial.offsets):
                return False
            partial.total = end
        elif 0 <= partial.total <= start or len(fragment.data) % 8 or not fragment.data:
            return False
        if end + len(fragment.header) > PACKET_MAX:
            return False
        partial.offsets.insert(at, start)
        partial.pieces.insert(at, fragment.data)
        partial.header = fragment.header if start == 0 else partial.header
        partial.have += end - start
        cost = end - start + _PIECE_COST
        partial.cost += cost
        self._cost += cost
        return True

    def _drop(self, key: tuple[int, ...]) -> None:
        self._cost -= self._partial.pop(key).cost

    def _count(self, what: str, v6: bool) -> None:
        name = f"{'Ip6' if v6 else 'Ip'}Reasm{what}"
        setattr(self._mib, name, getattr(self._mib, name) + 1)

    def next_timeout(self) -> float | None:
        return next(iter(self._partial.values())).expires_at if self._partial else None

    def handle_timeout(self, now: float) -> list[FirstFragment]:
        """Drop the packets that were not completed in time; of those whose first fragment came, returns
        it."""
        firsts = []
        while self._partial:
            key, partial = next(iter(self._partial.items()))
            if partial.expires_at > now:
                break
            if partial.first is not None:
                firsts.append(partial.first)
            v6 = len(key) == ipv6.FRAGMENT_KEY_FIELDS
            self._drop(key)
            self._count("Timeout", v6)
            self._count("Fails", v6)
        return firsts
