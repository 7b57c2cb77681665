"""HyStart: round-trip times and the times of ACKs in, the end of slow start out. Owns the current round.

hystart_update, net/ipv4/tcp_cubic.c; Ha and Rhee, "Taming the elephants: New TCP slow start" (2011). Slow
start is over when round trips have grown, or when ACKs have come one close behind the other for half of the
shortest round trip: the path is then full. HyStart++ (RFC 9406) has neither the second sign nor a lowest
window; it is not what Linux does, and flows of the two get unlike shares of a bottleneck.
"""

from __future__ import annotations

from math import inf

_LOW_WINDOW_SEGMENTS = 16  # hystart_low_window
_ACK_DELTA_S = 0.002  # hystart_ack_delta_us: ACKs that belong to one train
_MIN_SAMPLES = 8
_MIN_THRESH_S = 0.004
_MAX_THRESH_S = 0.016
_ACK_DELAY_MAX_S = 0.001
_GSO_MAX_BYTES = 65536


class HyStart:
    """One slow start, of a sender that is not paced."""

    __slots__ = ("_current_rtt", "_last_ack_at", "_round_began_at", "_round_end", "_samples")

    def __init__(self) -> None:
        self._round_end = -1  # a sequence number
        self._round_began_at = self._last_ack_at = -inf
        self._current_rtt = inf  # the shortest of this round
        self._samples = 0

    def on_ack(self, una: int, nxt: int, now: float) -> None:
        """A round begins with the first ACK of what was sent after the last one began. What is sent next has
        the sequence number `nxt`. The ACK of all that was in flight belongs to the old round still: the next
        one is a round trip away, and no part of its train (bictcp_hystart_reset)."""
        if una > self._round_end:
            self._round_end = nxt
            self._round_began_at = self._last_ack_at = now
            self._current_rtt = inf
            self._samples = 0

    def is_over(self, rtt: float, delay_min: float, cwnd: int, mss: int, now: float) -> bool:
        """Whether slow start ends with the last ACK, which measured `rtt`. `delay_min`: the shortest one of
        the connection, this one included. Seconds and bytes."""
        if cwnd < _LOW_WINDOW_SEGMENTS * mss:
            return False
        over = False
        if now - self._last_ack_at <= _ACK_DELTA_S:
            self._last_ack_at = now
            over = now - self._round_began_at > (delay_min + self._ack_delay(rtt, cwnd)) / 2
        if rtt < self._current_rtt:
            self._current_rtt = rtt
        if self._samples < _MIN_SAMPLES:
            self._samples += 1
        else:
            thresh = min(max(delay_min / 8, _MIN_THRESH_S), _MAX_THRESH_S)
            over |= self._current_rtt > delay_min + thresh
        return over

    @staticmethod
    def _ack_delay(rtt: float, cwnd: int) -> float:
        """How long TSO and GRO may hold an ACK back: four super-packets at the pacing rate of slow start, two
        windows a round trip (hystart_ack_delay)."""
        return min(_ACK_DELAY_MAX_S, 2 * _GSO_MAX_BYTES * rtt / cwnd)
