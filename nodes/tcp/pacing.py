"""What leaves in, when the next may leave out. Owns the earliest departure time of one connection.

net/ipv4/tcp_output.c tcp_update_skb_after_send, tcp_pacing_check, tcp_tso_autosize; tcp_input.c
tcp_update_pacing_rate. Only sockets that asked for it (SO_MAX_PACING_RATE) have a pacer.
"""

from __future__ import annotations

from math import inf

UNLIMITED = 0xFFFFFFFFFFFFFFFF
UNPACED_SEGMENTS = 9  # wire packets with payload at the beginning of a connection
_SLOW_START_RATIO, _AVOIDANCE_RATIO = 2.0, 1.2  # sysctl tcp_pacing_ss_ratio, tcp_pacing_ca_ratio
_BURST_SHIFT = 10  # sk_pacing_shift: a super-segment is what a 1024th of a second carries
_LEAST_SEGMENTS = 2  # sysctl tcp_min_tso_segs
_LATE_S = 0.01  # the kernel's timers are late by microseconds, a process that others keep waiting by this


def pacing_rate(window: int, ssthresh: int, cwnd: int, srtt: float, most: int) -> int:
    """Bytes a second, `most` at most: a `window` (cwnd, or what is out if that is more) a round trip, with
    room to grow. Without a measured round trip, `most`."""
    if not srtt:
        return most
    ratio = _SLOW_START_RATIO if cwnd < ssthresh / 2 else _AVOIDANCE_RATIO
    return min(most, int(window / srtt * ratio))


class Pacer:
    """`most` as SO_MAX_PACING_RATE has it; `at`: when the next segment may leave, `waiting`: one would;
    `timed_out`: one may in any case, as a timeout does not ask for the rate (tcp_retransmit_timer)."""

    __slots__ = ("at", "most", "rate", "timed_out", "waiting", "wake_at")

    def __init__(self, most: int) -> None:
        self.most = most
        self.rate = most
        self.at = -inf
        self.timed_out = False
        self.waiting = False
        self.wake_at = inf

    def burst(self, mss: int) -> int:
        """Bytes of the largest super-segment. Linux lets paths of less than a millisecond have more."""
        return max(_LEAST_SEGMENTS, (self.rate >> _BURST_SHIFT) // mss) * mss

    def sent(self, length: int, now: float) -> None:
        """`length` bytes of payload leave. What waited and was let go late catches up; what comes after a
        pause does so by half its own time."""
        if self.rate in (0, UNLIMITED):
            return
        start, gap = max(self.at, now), length / self.rate
        self.at = start + gap - min(start - self.at, _LATE_S if self.waiting else gap / 2)

    def wait(self, waiting: bool) -> None:
        """Whether something is left that the rate alone holds back."""
        self.waiting = waiting
        self.wake_at = self.at if waiting else inf
