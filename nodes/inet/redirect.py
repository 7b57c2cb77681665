"""Redirects: the nearer gateways that a gateway told of, each for one destination and for a while.

In: redirects that were believed, `now`. Out: the gateway to take instead. Owns them: they are bounded, and
the oldest goes first, which is also the order of expiry. Source: RFC 1122 section 3.2.2.2; __ip_do_redirect,
struct fib_nh_exception (net/ipv4/route.c).
"""

from __future__ import annotations

from collections.abc import Callable

EXPIRES_S = 300.0  # ip_rt_gc_timeout
ENTRIES_MAX = 1024


class Redirects:
    def __init__(self) -> None:
        # destination -> the gateway that said so, the one to take, until when
        self._known: dict[int, tuple[int, int, float]] = {}

    def learn(self, destination: int, old: int, new: int, now: float) -> None:
        """`old` said that packets to `destination` should go to `new`."""
        first = self.gateway_before(destination, old)
        self._known.pop(destination, None)
        if len(self._known) >= ENTRIES_MAX:
            del self._known[next(iter(self._known))]
        self._known[destination] = first, new, now + EXPIRES_S

    def gateway_before(self, destination: int, gateway: int) -> int:
        """The table's gateway to `destination`, where `gateway` may come from a redirect itself."""
        first, new, _ = self._known.get(destination, (0, 0, 0.0))
        return first if gateway == new else gateway

    def gateway(self, destination: int, gateway: int) -> int:
        """The gateway to take instead of the table's, or that one."""
        first, new, _ = self._known.get(destination, (0, 0, 0.0))
        return new if first == gateway else gateway

    def forget(self, destination: int) -> bool:
        """Whether there was a redirect for `destination`; it is gone."""
        return self._known.pop(destination, None) is not None

    def drop_gateways(self, on_link: Callable[[int], bool]) -> None:
        """Forget those of gateways that were on a link, and those to them."""
        for destination, (first, new, _) in [*self._known.items()]:
            if on_link(first) or on_link(new):
                del self._known[destination]

    def next_timeout(self) -> float | None:
        for _, _, until in self._known.values():
            return until
        return None

    def expire(self, now: float) -> bool:
        """Forget those whose time has come; returns whether there were any."""
        if not self._known:  # as a rule; it is asked in every turn
            return False
        over = [destination for destination, (*_, until) in self._known.items() if until <= now]
        for destination in over:
            del self._known[destination]
        return bool(over)
