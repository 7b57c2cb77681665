"""Path MTUs: what routers reported about the paths to addresses, for a while.

In: believed reports, `now`. Out: a limit in bytes; the addresses whose limit expired, since the path may have
become wider. Owns the cache: it is bounded, and the oldest entry is the first to go, which is also the order
of expiry; an entry that is evicted counts as expired. Source: RFC 1191 section 6.3, RFC 8201;
ip_rt_mtu_expires, min_pmtu (net/ipv4/route.c).
"""

from __future__ import annotations

from math import inf

from nodes.wire.ip import is_ipv6
from nodes.wire.ipv6 import MIN_MTU

EXPIRES_S = 600.0
MIN_V4 = 552  # sysctl min_pmtu: a smaller report is taken for this one, as it serves attackers only
CACHE_MAX = 1024


class PathMtus:
    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float]] = {}  # address -> bytes, until when
        self._evicted: list[int] = []  # since the last call of `expire`

    def learn(self, address: int, mtu: int, now: float) -> None:
        """The path to `address` takes packets of `mtu` bytes, which `bounded` returned."""
        self._known.pop(address, None)
        if len(self._known) >= CACHE_MAX:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._evicted.append(oldest)
        self._known[address] = mtu, now + EXPIRES_S

    def limit(self, address: int, link_mtu: int, now: float) -> int:
        """Bytes of the largest packet to send to `address`: the link's MTU or less."""
        known = self._known.get(address)
        if known is None:
            return link_mtu
        mtu, until = known
        return link_mtu if now >= until else min(mtu, link_mtu)

    def next_timeout(self) -> float | None:
        if self._evicted:
            return -inf
        for _, until in self._known.values():
            return until
        return None

    def expire(self, now: float) -> list[int]:
        """Forget the limits whose time has come; returns their addresses."""
        at = self.next_timeout()
        if at is None or now < at:
            return []
        over = [address for address, (_, until) in self._known.items() if now >= until]
        for address in over:
            del self._known[address]
        over += (address for address in self._evicted if address not in self._known)
        self._evicted.clear()
        return over


def bounded(address: int, mtu: int) -> int:
    """A report of `mtu` bytes about the path to `address`, not below the smallest that is believed."""
    return max(mtu, MIN_MTU if is_ipv6(address) else MIN_V4)
