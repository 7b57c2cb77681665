"""Departures in, the time of the next departure out. Owns the earliest departure time of one connection.

net/ipv4/tcp_output.c tcp_update_skb_after_send, tcp_pacing_check, tcp_tso_autosize; net/ipv4/tcp_input.c
tcp_update_pacing_rate. Only a connection with SO_MAX_PACING_RATE has a pacer.
"""

from __future__ import annotations

from math import inf
from typing import Final

UNLIMITED: Final = 0xFFFFFFFFFFFFFFFF
UNPACED_SEGMENTS: Final = 9  # the first wire packets with payload of a connection are not paced
_SLOW_START_RATIO: Final = 2.0  # sysctl tcp_pacing_ss_ratio
_AVOIDANCE_RATIO: Final = 1.2  # sysctl tcp_pacing_ca_ratio
_PACING_SHIFT: Final = 10  # sk_pacing_shift: a super-segment carries 1/1024 of a second's bytes
TSO_RTT_S: Final = 512e-6  # sysctl tcp_tso_rtt_log, 9: below it the largest super-segments leave
_MIN_TSO_SEGMENTS: Final = 2  # sysctl tcp_min_tso_segs
# Credit for a late departure: the kernel's timers are late by microseconds, a process that shares its CPU by
# up to this.
_MAX_LATE_S: Final = 0.01


def pacing_rate(window: int, ssthresh: int, cwnd: int, srtt: float, max_rate: int) -> int:
    """Bytes a second, at most `max_rate`: `window` bytes each SRTT, times a factor that lets cwnd grow.

    `window`: cwnd, or the bytes in flight if that is more. Without an SRTT the rate is `max_rate`.
    """
    if not srtt:
        return max_rate
    ratio = _SLOW_START_RATIO if cwnd < ssthresh / 2 else _AVOIDANCE_RATIO
    return min(max_rate, int(window / srtt * ratio))


def tso_autosize(rate: int, min_rtt: float, largest: int, mss: int) -> int:
    """Payload bytes of a super-segment, at most `largest` (tcp_tso_autosize): what leaves in a millisecond at
    `rate` bytes a second, and half as much of `largest` with every TSO_RTT_S of the minimum RTT, so that a
    distant peer acknowledges about once a millisecond."""
    halvings = min_rtt / TSO_RTT_S
    size = (rate >> _PACING_SHIFT) + (largest >> int(halvings) if halvings < 32 else 0)
    return min(largest, max(size // mss, _MIN_TSO_SEGMENTS) * mss)


class Pacer:
    """`max_rate`: SO_MAX_PACING_RATE. `rate`: the present rate, bytes a second. `at`: when the next segment
    may leave. `waiting`: a segment waits for `at`. `timed_out`: the next segment may leave at once, because a
    retransmission timeout does not ask the pacer (tcp_retransmit_timer). `wake_at`: the timer's deadline."""

    __slots__ = ("at", "max_rate", "rate", "timed_out", "waiting", "wake_at")

    def __init__(self, max_rate: int) -> None:
        self.max_rate = max_rate
        self.rate = max_rate
        self.at = -inf
        self.timed_out = False
        self.waiting = False
        self.wake_at = inf

    def max_burst_bytes(self, mss: int) -> int:
        """Payload bytes of the largest super-segment. (Linux allows more on paths below a millisecond.)"""
        return max(_MIN_TSO_SEGMENTS, (self.rate >> _PACING_SHIFT) // mss) * mss

    def on_segment_sent(self, length: int, now: float) -> None:
        """`length` bytes of payload leave. A segment that waited and left late shortens the next interval by
        its lateness; the first segment after a pause shortens its own interval by half."""
        if self.rate in (0, UNLIMITED):
            return
        start, interval = max(self.at, now), length / self.rate
        self.at = start + interval - min(start - self.at, _MAX_LATE_S if self.waiting else interval / 2)

    def set_waiting(self, waiting: bool) -> None:
        """Whether a segment is left that the rate alone holds back."""
        self.waiting = waiting
        self.wake_at = self.at if waiting else inf
