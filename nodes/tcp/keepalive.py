"""Silence in; a probe, or the verdict that the peer is gone, out. Owns the keepalive timer of a connection.

RFC 9293 section 3.8.4, RFC 1122 section 4.2.3.6; net/ipv4/tcp_timer.c tcp_keepalive_timer. A connection
without SO_KEEPALIVE has no such object, and the fast path never touches one: it is asked when it expires.
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


class Verdict(Enum):
    WAIT = "heard of it lately"
    PROBE = "ask"
    DEAD = "asked often enough"


class KeepaliveTimer:
    """`at` is when `expire` should be asked, in the seconds of `now`."""

    __slots__ = ("_options", "_probed_at", "at", "sent")

    def __init__(self, options: Keepalive, heard_at: float) -> None:
        self._options = options
        self.at = heard_at + options.idle_s
        self.sent = 0  # probes that nobody has answered
        self._probed_at = -inf

    def expire(self, now: float, heard_at: float, busy: bool, user_timeout_s: float) -> Verdict:
        """What to do at `at`; `busy`: data is out or queued, and has a timer of its own."""
        options = self._options
        if heard_at >= self._probed_at:
            self.sent = 0
        silent_until = heard_at + options.idle_s
        if busy or now < silent_until:
            self.at = now + options.idle_s if busy else silent_until
            return Verdict.WAIT
        if user_timeout_s:
            over = self.sent > 0 and now - heard_at >= user_timeout_s
        else:
            over = self.sent >= options.probes
        if over:
            self.at = inf
            return Verdict.DEAD
        self.sent += 1
        self._probed_at = now
        self.at = now + options.interval_s
        return Verdict.PROBE
