"""The persist timer: while the peer's window is zero and nothing is in flight, it sends window probes.

RFC 9293 section 3.8.6.1; net/ipv4/tcp_timer.c tcp_probe_timer. Owns the timer's deadline, its back-off and
the count of unanswered probes. Probes back off as retransmissions do.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.rtt import RTO_MAX_S

CORK_S = 0.2  # tcp(7): TCP_CORK holds data back for at most 200 ms


class PersistTimer:
    """`at`: its deadline in monotonic seconds, inf while stopped. `probe_due`: a window probe should
    leave."""

    __slots__ = ("at", "backoff", "probe_due", "probes_out", "started_at")

    def __init__(self) -> None:
        self.at = inf
        self.started_at = inf  # since then queued data could not leave
        self.backoff = 0
        self.probe_due = False
        self.probes_out = 0  # probes without an answer

    def start(self, now: float, rto: float, corked: bool) -> None:
        """Data is queued that may not leave, and no data is in flight whose ACK could change that."""
        if self.started_at == inf:
            self.started_at = now
        self.at = now + (CORK_S if corked else self.interval(rto))

    def back_off(self, now: float, rto: float) -> None:
        """It expired: start it again with twice the interval."""
        self.backoff += 1
        self.at = now + self.interval(rto)

    def interval(self, rto: float) -> float:
        """Seconds from one probe to the next."""
        return min(rto * (1 << min(self.backoff, 16)), RTO_MAX_S)

    def stop(self) -> None:
        """Data is in flight, or nothing is queued."""
        self.at = self.started_at = inf
        self.backoff = 0
