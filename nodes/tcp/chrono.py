"""What keeps a sender busy, and since when: changes in, times out. Owns the times of TCP_INFO's busy_time,
rwnd_limited and sndbuf_limited.

net/ipv4/tcp_output.c tcp_chrono_start, tcp_chrono_stop.
"""

from __future__ import annotations

from enum import IntEnum


class Limit(IntEnum):
    """enum tcp_chrono: what a sender with data that is not acknowledged waits for."""

    IDLE = 0  # there is no such data
    BUSY = 1  # for the network
    RWND = 2  # for the peer's window
    SNDBUF = 3  # for room in the send buffer: the application has more


class Chrono:
    """Monotonic seconds."""

    __slots__ = ("_since", "_times", "limit")

    def __init__(self) -> None:
        self.limit = Limit.IDLE
        self._since = 0.0
        self._times = [0.0] * len(Limit)

    def set(self, limit: Limit, now: float) -> None:
        """From now on the sender waits for `limit`."""
        self._times[self.limit] += now - self._since
        self.limit, self._since = limit, now

    def seconds(self, now: float | None, *limits: Limit) -> float:
        """How long the sender has waited for one of `limits` until `now`; None: until the last change."""
        total = sum(self._times[each] for each in limits)
        return total + now - self._since if now is not None and self.limit in limits else total
