"""What routers told about the way to an address: the largest packet that passes, for a while.

In: believed reports, `now`. Out: a limit in bytes; the addresses whose limit is over, as the way may have
become wider. Owns the cache: bounded, oldest first to go, which is the order of their ends too; a limit that
goes to make room is over.
Source: RFC 1191 section 6.3, RFC 8201; ip_rt_mtu_expires, min_pmtu (net/ipv4/route.c).
"""

from __future__ import annotations

from math import inf

from nodes.wire.ip import is_ipv6
from nodes.wire.ipv6 import MIN_MTU

EXPIRES_S = 600.0
LEAST_V4 = 552  # a report of less is taken for this: smaller ones serve attackers only
CACHE_MAX = 1024


class PathMtus:
    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float]] = {}  # address -> bytes, until when
        self._evicted: list[int] = []  # since `expire` was asked last

    def learn(self, address: int, mtu: int, now: float) -> None:
        """The way to `address` takes packets of `mtu` bytes, as `least` has allowed it."""
        self._known.pop(address, None)
        if len(self._known) >= CACHE_MAX:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._evicted.append(oldest)
        self._known[address] = mtu, now + EXPIRES_S

    def limit(self, address: int, link_mtu: int, now: float) -> int:
        """The largest packet to send to `address`: what the link takes, or less."""
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
        """Forget the limits whose time has come; returns of which addresses."""
        at = self.next_timeout()
        if at is None or now < at:
            return []
        over = [address for address, (_, until) in self._known.items() if now >= until]
        for address in over:
            del self._known[address]
        over += (address for address in self._evicted if address not in self._known)
        self._evicted.clear()
        return over


def least(address: int, mtu: int) -> int:
    """What a report of `mtu` bytes on the way to `address` may mean at most harm."""
    return max(mtu, MIN_MTU if is_ipv6(address) else LEAST_V4)
