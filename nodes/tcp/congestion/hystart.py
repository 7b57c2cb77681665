"""Round-trip times in, the pace of slow start out. Owns the rounds of one slow start.

RFC 9406 (HyStart++), with its constants but for L, the limit of growth by one ACK: ACKs come for
super-segments here, and 8 segments would hold all of them back.
"""

from __future__ import annotations

from math import inf

_MIN_RTT_THRESH_S = 0.004
_MAX_RTT_THRESH_S = 0.016
_MIN_RTT_DIVISOR = 8
_N_RTT_SAMPLE = 8
_CSS_GROWTH_DIVISOR = 4
_CSS_ROUNDS = 5


class HyStart:
    """Slow start, then conservative slow start (CSS) once round trips grow, then its end."""

    __slots__ = ("_baseline", "_last", "_now", "_rounds", "_samples")

    def __init__(self) -> None:
        self._last = inf  # least round trip of the round before
        self._now = inf  # and of this one
        self._samples = 0
        self._baseline = inf  # of the round in which CSS began; inf: not in CSS
        self._rounds = 0  # of CSS

    def sample(self, rtt: float) -> None:
        """Take a round trip of this round (section 4.2)."""
        if rtt < self._now:
            self._now = rtt
        self._samples += 1
        if self._samples < _N_RTT_SAMPLE:
            return
        if self._baseline == inf:
            eighth = self._last / _MIN_RTT_DIVISOR
            thresh = max(_MIN_RTT_THRESH_S, min(eighth, _MAX_RTT_THRESH_S))
            if self._last < inf and self._now >= self._last + thresh:
                self._baseline = self._now
                self._rounds = 0
        elif self._now < self._baseline:
            self._baseline = inf  # it was jitter: slow start goes on

    def growth(self, acked: int) -> int:
        """Bytes by which `acked` bytes open the window."""
        return acked if self._baseline == inf else acked // _CSS_GROWTH_DIVISOR

    def ends(self) -> bool:
        """A round is over; whether slow start is, too."""
        self._last, self._now, self._samples = self._now, inf, 0
        if self._baseline == inf:
            return False
        self._rounds += 1
        return self._rounds >= _CSS_ROUNDS
