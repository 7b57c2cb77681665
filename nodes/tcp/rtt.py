"""Round-trip times in, the retransmission timeout out. Owns SRTT, RTTVAR, the minimum and the back-off.

RFC 6298; net/ipv4/tcp_input.c tcp_rtt_estimator. As in Linux the minimum of 200 ms applies to the variance
term and not to the sum, so that a peer's delayed ACK never causes a timeout.
"""

from __future__ import annotations

from math import inf
from typing import Final

RTO_MIN_S: Final = 0.2
RTO_MAX_S: Final = 120.0
RTO_INITIAL_S: Final = 1.0
_RTT_MIN_S: Final = 1e-6  # a clock that did not advance between the segment and its ACK counts as this


class RttEstimator:
    """The round-trip time of one path, all in seconds."""

    __slots__ = ("_rto", "backoff", "min_rtt", "rttvar", "srtt")

    def __init__(self) -> None:
        self.srtt = 0.0  # 0: no measurement yet
        self.rttvar = 0.0
        self.min_rtt = inf
        self.backoff = 0  # how often RTO was doubled since the last new acknowledgement
        self._rto = RTO_INITIAL_S

    def sample_ts_ecr(self, elapsed_ms: int) -> None:
        """Take a measurement from an echoed timestamp. Its milliseconds are too coarse for the minimum, and 0
        means less than 1."""
        min_rtt = self.min_rtt
        self.sample(max(elapsed_ms, 1) / 1000)
        self.min_rtt = min_rtt

    def sample(self, rtt: float) -> None:
        """Take a measurement by our own clock, never of a retransmitted segment (Karn's algorithm)."""
        if rtt < _RTT_MIN_S:
            rtt = _RTT_MIN_S
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        if self.srtt == 0.0:
            self.srtt, self.rttvar = rtt, rtt / 2
        else:
            error = rtt - self.srtt
            self.srtt += error / 8
            self.rttvar += ((error if error > 0 else -error) - self.rttvar) / 4
        spread = 4 * self.rttvar
        self._rto = self.srtt + (spread if spread > RTO_MIN_S else RTO_MIN_S)

    @property
    def rto(self) -> float:
        """Seconds until a retransmission, back-off included; at most RTO_MAX_S."""
        if not self.backoff:
            return self._rto if self._rto < RTO_MAX_S else RTO_MAX_S
        return float(min(self._rto * (1 << min(self.backoff, 16)), RTO_MAX_S))
