"""CUBIC: acknowledged bytes, losses and time in, cwnd out. Owns cwnd, ssthresh and the cubic curve.

RFC 9438; net/ipv4/tcp_cubic.c. The curve is in segments and seconds, as in the RFC.
"""

from __future__ import annotations

from nodes.tcp.congestion.hystart import HyStart
from nodes.tcp.congestion.newreno import UNLIMITED, rescaled

_C = 0.4
_BETA = 0.7
_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)  # section 4.3: as aggressive as Reno at this beta


class Cubic:
    """Slow start, then the cubic curve around the window of the last loss, never below the Reno estimate."""

    __slots__ = (
        "_credit", "_epoch", "_hystart", "_k", "_last_ack_at", "_origin", "_prior", "_w_est", "_w_max",
        "cwnd", "mss", "ssthresh",
    )  # fmt: skip
    name = "cubic"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        self.mss = mss
        self.cwnd = cwnd
        self.ssthresh = ssthresh
        self._hystart: HyStart | None = HyStart()  # for the first slow start only (RFC 9406 section 4.3)
        self._w_max = 0.0
        self._epoch: float | None = None  # when the congestion avoidance stage began
        self._last_ack_at = 0.0  # of the last ACK; the curve stands still while cwnd does not limit
        self._k = 0.0
        self._origin = 0.0
        self._w_est = 0.0
        self._credit = 0.0  # growth by fractions of a byte
        self._prior = (cwnd, ssthresh, 0.0)

    def set_mss(self, mss: int) -> None:
        """The same number of segments, of `mss` bytes each; the curve is in segments already."""
        before, self.mss = self.mss, mss
        self.cwnd = rescaled(self.cwnd, mss, before)
        self.ssthresh = rescaled(self.ssthresh, mss, before)
        cwnd, ssthresh, w_max = self._prior
        self._prior = rescaled(cwnd, mss, before), rescaled(ssthresh, mss, before), w_max

    def on_ack(self, acked: int, now: float, srtt: float, limited: bool) -> None:
        """Grow by bytes acknowledged (sections 4.2 to 4.5)."""
        gap, self._last_ack_at = now - self._last_ack_at, now
        if not limited:
            if self._epoch is not None:
                self._epoch += gap  # section 5.8: time in which cwnd did not limit does not count
            return
        if self.cwnd < self.ssthresh:
            if self._hystart is not None:
                acked = self._hystart.growth(acked)
            grown = min(acked, self.ssthresh - self.cwnd)
            self.cwnd += grown
            acked -= grown
            if not acked:
                return
        window = self.cwnd / self.mss
        if self._epoch is None:
            self._begin(now, window)
        segments = acked / self.mss
        self._w_est += (_ALPHA if self._w_est < self._w_max else 1.0) * segments / window
        t = now - (self._epoch or 0.0) + srtt - self._k
        target = self._origin + _C * t * t * t
        if target > 1.5 * window:
            target = 1.5 * window
        growth = (target - window) / window * segments if target > window else 0.0
        if self._w_est > window + growth:
            growth = self._w_est - window
        self._credit += growth * self.mss
        whole = int(self._credit)
        self.cwnd += whole
        self._credit -= whole

    def _begin(self, now: float, window: float) -> None:
        self._epoch = now
        self._w_est = window
        self._origin = max(self._w_max, window)
        self._k = ((self._origin - window) / _C) ** (1 / 3)

    def on_rtt(self, rtt: float) -> None:
        """HyStart++ watches for round trips that grow."""
        if self._hystart is not None:
            self._hystart.on_rtt_sample(rtt)

    def on_round(self, now: float) -> None:  # noqa: ARG002
        """Slow start may end here, without a loss."""
        if self._hystart is not None and self._hystart.on_round_end():
            self.ssthresh = self.cwnd
            self._hystart = None

    def on_ece_acked(self, acked: int) -> None:
        """CUBIC does not count them."""

    def on_ecn(self, now: float) -> None:
        """As on a loss (RFC 9438 section 4.6)."""
        self.on_loss(now)

    def on_loss(self, now: float) -> None:  # noqa: ARG002
        """Reduce to 0.7 and set W_max (section 4.6); fast convergence lowers W_max (section 4.7)."""
        window = self.cwnd / self.mss
        self._prior = (self.cwnd, self.ssthresh, self._w_max)
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self.ssthresh = self.cwnd = max(int(self.cwnd * _BETA), 2 * self.mss)
        self._epoch = None
        self._credit = 0.0
        self._hystart = None

    def on_timeout(self, now: float) -> None:
        """As on a loss, but restart with one segment (section 4.8)."""
        self.on_loss(now)
        self.cwnd = self.mss

    def undo(self) -> None:
        """The windows before the last reduction, or the present ones where larger (section 4.9)."""
        self.cwnd = max(self.cwnd, self._prior[0])
        self.ssthresh = max(self.ssthresh, self._prior[1])
        self._w_max = self._prior[2]
        self._epoch = None
