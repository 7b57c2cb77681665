"""Round-trip times in, retransmission timeout out. Owns srtt, rttvar, the minimum and the back-off.

RFC 6298; net/ipv4/tcp_input.c tcp_rtt_estimator. As Linux does, the lower bound of 200 ms is put under the
variance term and not under the sum, so a peer's delayed ACK never meets the timeout.
"""

from __future__ import annotations

from math import inf

RTO_MIN_S = 0.2
RTO_MAX_S = 120.0
RTO_INITIAL_S = 1.0
_LEAST_RTT_S = 1e-6  # a clock that did not move between sending and hearing still measured something


class RttEstimator:
    """One path's round-trip time, all in seconds."""

    __slots__ = ("_rto", "backoff", "min_rtt", "rttvar", "srtt")

    def __init__(self) -> None:
        self.srtt = 0.0  # 0: nothing measured yet
        self.rttvar = 0.0
        self.min_rtt = inf
        self.backoff = 0  # doublings since the last new acknowledgement
        self._rto = RTO_INITIAL_S

    def sample_echo(self, elapsed_ms: int) -> None:
        """Take what the echo of a timestamp tells: too coarse for the minimum, and 0 means less than 1."""
        least = self.min_rtt
        self.sample(max(elapsed_ms, 1) / 1000)
        self.min_rtt = least

    def sample(self, rtt: float) -> None:
        """Take one measurement by our own clock. Never one of a retransmitted segment (Karn)."""
        if rtt < _LEAST_RTT_S:
            rtt = _LEAST_RTT_S
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
