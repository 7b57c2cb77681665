"""HyStart++: round-trip times in, the growth and the end of slow start out. Owns the rounds of one slow
start.

RFC 9406 with its constants, but without L, its limit of 8 segments for the growth by one ACK: here an ACK is
for a super-segment of more than 8 segments.
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
    """Slow start, then conservative slow start (CSS) once round trips grow, then the end of slow start."""

    __slots__ = ("_css_baseline", "_css_rounds", "_current_min_rtt", "_last_min_rtt", "_sample_count")

    def __init__(self) -> None:
        self._last_min_rtt = inf  # of the last round
        self._current_min_rtt = inf
        self._sample_count = 0
        self._css_baseline = inf  # minimum RTT when CSS began; inf: not in CSS
        self._css_rounds = 0

    def on_rtt_sample(self, rtt: float) -> None:
        """Take an RTT of this round, in seconds (section 4.2)."""
        if rtt < self._current_min_rtt:
            self._current_min_rtt = rtt
        self._sample_count += 1
        if self._sample_count < _N_RTT_SAMPLE:
            return
        if self._css_baseline == inf:
            eighth = self._last_min_rtt / _MIN_RTT_DIVISOR
            thresh = max(_MIN_RTT_THRESH_S, min(eighth, _MAX_RTT_THRESH_S))
            if self._last_min_rtt < inf and self._current_min_rtt >= self._last_min_rtt + thresh:
                self._css_baseline = self._current_min_rtt
                self._css_rounds = 0
        elif self._current_min_rtt < self._css_baseline:
            self._css_baseline = inf  # the growth was jitter: resume slow start

    def growth(self, acked: int) -> int:
        """Bytes by which cwnd grows when `acked` bytes are acknowledged."""
        return acked if self._css_baseline == inf else acked // _CSS_GROWTH_DIVISOR

    def on_round_end(self) -> bool:
        """A round is over. Returns whether slow start is over too."""
        self._last_min_rtt, self._current_min_rtt, self._sample_count = self._current_min_rtt, inf, 0
        if self._css_baseline == inf:
            return False
        self._css_rounds += 1
        return self._css_rounds >= _CSS_ROUNDS
