"""Time without a segment from the peer in, a keepalive probe or the end of the connection out.

RFC 9293 section 3.8.4, RFC 1122 section 4.2.3.6; net/ipv4/tcp_timer.c tcp_keepalive_timer. Owns the keepalive
timer of one connection. Without SO_KEEPALIVE a connection has no such object. Received segments do not touch
the timer: when it expires it reads when the last one came.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf


@dataclass(frozen=True, slots=True)
class Keepalive:
    """SO_KEEPALIVE with TCP_KEEPIDLE and TCP_KEEPINTVL in seconds, and TCP_KEEPCNT."""

    idle_s: float = 7200.0
    interval_s: float = 75.0
    probes: int = 9


class KeepaliveAction(Enum):
    """What to do when the keepalive timer expires."""

    WAIT = "the peer was heard within the idle time, or data is in flight"
    SEND_PROBE = "the peer was silent for the idle time"
    ABORT = "the peer answered none of the probes"


class KeepaliveTimer:
    """`at`: when `on_timeout` is due, monotonic seconds. `probe_due`: a probe should leave."""

    __slots__ = ("_options", "_probed_at", "at", "probe_due", "probes_out")

    def __init__(self, options: Keepalive, rcv_tstamp: float) -> None:
        self._options = options
        self.at = rcv_tstamp + options.idle_s
        self.probe_due = False
        self.probes_out = 0  # probes without an answer
        self._probed_at = -inf

    def on_timeout(
        self, now: float, rcv_tstamp: float, busy: bool, user_timeout_s: float
    ) -> KeepaliveAction:
        """What to do now that `at` has passed; sets the next `at`.

        `rcv_tstamp`: when the peer's last segment came. `busy`: data is in flight or queued, so that the
        retransmission or persist timer watches the peer.
        """
        options = self._options
        if rcv_tstamp >= self._probed_at:
            self.probes_out = 0
        idle_until = rcv_tstamp + options.idle_s
        if busy or now < idle_until:
            self.at = now + options.idle_s if busy else idle_until
            return KeepaliveAction.WAIT
        if user_timeout_s:
            gone = self.probes_out > 0 and now - rcv_tstamp >= user_timeout_s
        else:
            gone = self.probes_out >= options.probes
        if gone:
            self.at = inf
            return KeepaliveAction.ABORT
        self.probes_out += 1
        self._probed_at = now
        self.at = now + options.interval_s
        self.probe_due = True
        return KeepaliveAction.SEND_PROBE
