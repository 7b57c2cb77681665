"""NewReno's window: acknowledged bytes and losses in, cwnd out. Owns cwnd and ssthresh.

RFC 5681, RFC 3465 (byte counting); net/ipv4/tcp_cong.c tcp_reno_*. Halving is from cwnd, as in Linux: it
grows only while it is used, so it does not run away from what is in flight.
"""

from __future__ import annotations

UNLIMITED = 1 << 40


def rescaled(window: int, mss: int, before: int) -> int:
    """Bytes of a `window` that was as many segments of `before` bytes as it is of `mss`."""
    return window if window >= UNLIMITED else window * mss // before


class NewReno:
    """Slow start, then one segment a round trip; half on loss."""

    __slots__ = ("_credit", "_prior", "cwnd", "mss", "ssthresh")
    name = "reno"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        self.mss = mss
        self.cwnd = cwnd
        self.ssthresh = ssthresh
        self._credit = 0  # bytes acknowledged towards the next segment of growth
        self._prior = (cwnd, ssthresh)

    def set_mss(self, mss: int) -> None:
        """The same windows in segments of `mss` bytes."""
        before, self.mss = self.mss, mss
        self.cwnd = rescaled(self.cwnd, mss, before)
        self.ssthresh = rescaled(self.ssthresh, mss, before)
        self._credit = rescaled(self._credit, mss, before)
        self._prior = rescaled(self._prior[0], mss, before), rescaled(self._prior[1], mss, before)

    def on_ack(self, acked: int, now: float, srtt: float, limited: bool) -> None:  # noqa: ARG002
        """Grow by bytes acknowledged: all of them in slow start, then a segment for each cwnd of them."""
        if not limited:
            return
        if self.cwnd < self.ssthresh:
            grown = min(acked, self.ssthresh - self.cwnd)
            self.cwnd += grown
            acked -= grown
        self._credit += acked
        if self._credit >= self.cwnd:
            self._credit -= self.cwnd
            self.cwnd += self.mss

    def on_rtt(self, rtt: float) -> None:
        """Round trips do not matter here."""

    def on_round(self, now: float) -> None:
        """Nor when one begins."""

    def on_marked(self, acked: int) -> None:
        """Nor how many bytes were marked."""

    def on_ecn(self, now: float) -> None:
        """As on a loss (RFC 3168 section 6.1.2)."""
        self.on_loss(now)

    def on_loss(self, now: float) -> None:  # noqa: ARG002
        """Halve."""
        self._prior = (self.cwnd, self.ssthresh)
        self.ssthresh = self.cwnd = max(self.cwnd // 2, 2 * self.mss)
        self._credit = 0

    def on_timeout(self, now: float) -> None:
        """Halve the threshold, restart at one segment (RFC 5681 section 3.1, equation 4)."""
        self.on_loss(now)
        self.cwnd = self.mss

    def undo(self) -> None:
        """Back to the windows before the last reduction, or what has grown since."""
        self.cwnd = max(self.cwnd, self._prior[0])
        self.ssthresh = max(self.ssthresh, self._prior[1])
