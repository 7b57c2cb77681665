"""NewReno: acknowledged bytes and losses in, cwnd out. Owns cwnd and ssthresh.

RFC 5681, RFC 3465 (byte counting); net/ipv4/tcp_cong.c tcp_reno_*. A loss halves cwnd and not the bytes in
flight, as in Linux: cwnd grows only while it limits the sender, so it stays close to what is in flight.
"""

from __future__ import annotations

UNLIMITED = 1 << 40


def rescaled(window: int, mss: int, before: int) -> int:
    """A `window` of segments of `before` bytes, as bytes of as many segments of `mss` bytes."""
    return window if window >= UNLIMITED else window * mss // before


class NewReno:
    """Slow start, then one segment a round trip; a loss halves the window."""

    __slots__ = ("_credit", "_prior", "cwnd", "mss", "ssthresh")
    name = "reno"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        self.mss = mss
        self.cwnd = cwnd
        self.ssthresh = ssthresh
        self._credit = 0  # bytes acknowledged towards the next segment of growth
        self._prior = (cwnd, ssthresh)

    def set_mss(self, mss: int) -> None:
        """The same number of segments, of `mss` bytes each."""
        before, self.mss = self.mss, mss
        self.cwnd = rescaled(self.cwnd, mss, before)
        self.ssthresh = rescaled(self.ssthresh, mss, before)
        self._credit = rescaled(self._credit, mss, before)
        self._prior = rescaled(self._prior[0], mss, before), rescaled(self._prior[1], mss, before)

    def on_ack(self, acked: int, now: float, limited: bool) -> None:  # noqa: ARG002
        """Grow by the bytes acknowledged: by all of them in slow start, then by one segment for each cwnd."""
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

    def on_rtt(self, rtt: float, una: int, nxt: int, now: float) -> None:
        """NewReno does not use round-trip times."""

    def on_round(self, delivered: int, now: float) -> None:
        """NewReno does not count rounds."""

    def on_tx_start(self, idle: float, now: float) -> None:
        """NewReno does not use the time."""

    def on_ece_acked(self, delivered: int) -> None:
        """NewReno does not count them."""

    def on_ecn(self, now: float) -> None:
        """As on a loss (RFC 3168 section 6.1.2)."""
        self.on_loss(now)

    def on_loss(self, now: float) -> None:  # noqa: ARG002
        """Halve cwnd."""
        self._prior = (self.cwnd, self.ssthresh)
        self.ssthresh = self.cwnd = max(self.cwnd // 2, 2 * self.mss)
        self._credit = 0

    def on_timeout(self, now: float) -> None:
        """Halve ssthresh, restart with one segment (RFC 5681 section 3.1, equation 4)."""
        self.on_loss(now)
        self.cwnd = self.mss

    def undo(self) -> None:
        """The windows before the last reduction, or the present ones where larger."""
        self.cwnd = max(self.cwnd, self._prior[0])
        self.ssthresh = max(self.ssthresh, self._prior[1])
