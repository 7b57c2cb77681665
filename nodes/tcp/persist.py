"""A shut window and silence in, zero-window probes out. Owns the persist timer.

RFC 9293 section 3.8.6.1; net/ipv4/tcp_timer.c tcp_probe_timer. Probes back off as retransmissions do.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.rtt import RTO_MAX_S

PROBES_MOST = 15  # tcp_retries2
CORK_S = 0.2  # TCP_CORK holds no byte back for longer, tcp(7)


class PersistTimer:
    """`at` is its deadline (inf: rests); `due`: a probe should leave; `unanswered` probes so far."""

    __slots__ = ("at", "backoff", "due", "since", "unanswered")

    def __init__(self) -> None:
        self.at = inf
        self.since = inf  # when it began: data has waited since then
        self.backoff = 0
        self.due = False
        self.unanswered = 0

    def start(self, now: float, rto: float, corked: bool) -> None:
        """Something waits that may not be sent and nothing is out that could bring news."""
        if self.since == inf:
            self.since = now
        self.at = now + (CORK_S if corked else self._interval(rto))

    def again(self, now: float, rto: float) -> None:
        """It expired: wait longer."""
        self.backoff += 1
        self.at = now + self._interval(rto)

    def _interval(self, rto: float) -> float:
        return min(rto * (1 << min(self.backoff, 16)), RTO_MAX_S)

    def rest(self) -> None:
        """Data is out, or nothing waits."""
        self.at = self.since = inf
        self.backoff = 0
