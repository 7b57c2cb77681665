"""Bytes delivered and sent during recovery in, the window out. Owns the account of one episode.

RFC 6937 with the slow-start reduction bound; net/ipv4/tcp_input.c tcp_cwnd_reduction. The window sinks with
what arrives and not at once, so an ACK always lets something leave.
"""

from __future__ import annotations


class ProportionalRate:
    """One episode of recovery. All in bytes."""

    __slots__ = ("_delivered", "_flight", "_out", "_total")

    def __init__(self, flight: int) -> None:
        self._flight = max(1, flight)  # the RFC's RecoverFS: outstanding when it began
        self._total = -1  # bytes delivered since the beginning of all, when last asked
        self._delivered = 0
        self._out = 0

    def sent(self, count: int) -> None:
        """`count` bytes left, new or again."""
        self._out += count

    def window(self, total_delivered: int, in_flight: int, ssthresh: int, mss: int) -> int | None:
        """cwnd from now on; None when nothing has been delivered since it was asked last."""
        news = total_delivered - self._total if self._total >= 0 else mss  # a segment told of the loss
        if news <= 0:
            return None
        self._total = total_delivered
        self._delivered += news
        if in_flight > ssthresh:
            allowed = -(-self._delivered * ssthresh // self._flight) - self._out
        else:
            allowed = min(ssthresh - in_flight, max(self._delivered - self._out, news) + mss)
        return in_flight + max(allowed, 0 if self._out else mss)
