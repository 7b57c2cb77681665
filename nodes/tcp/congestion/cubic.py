"""CUBIC: acknowledged bytes, losses and time in, cwnd out. Owns cwnd, ssthresh and the cubic curve.

RFC 9438 as net/ipv4/tcp_cubic.c has it, whole numbers of segments included: the share of a bottleneck and
goodput under loss hang on them. Where Linux differs from the RFC, Linux is followed:
- time is counted in jiffies of 4 ms, and the curve is looked at in the next jiffy after cwnd has changed, or
  else in the eighth: where round trips are short, cwnd follows the Reno estimate (section 4.3) late and in
  leaps, and that estimate keeps its slope above W_max;
- before the first loss cwnd grows by 5 % a round trip at least;
- a timeout forgets W_max, and slow start is HyStart's again.
"""

from __future__ import annotations

from math import ceil, inf

from nodes.tcp.congestion.hystart import HyStart
from nodes.tcp.congestion.newreno import UNLIMITED, rescaled

_C = 0.4
_BETA = 717  # of 1024
_SCALE = 1024
_RENO_EIGHTHS = 15  # beta_scale: a segment for each 15/8 of a window, which is Reno's pace at this beta
_HZ = 250  # CONFIG_HZ, its default
_UPDATE_JIFFIES = _HZ // 32
_CNT_BEFORE_LOSS = 20
_CNT_MIN = 2  # half a window a round trip
_SETTLE_S = 1.0  # round trips right after a reduction do not count


class Cubic:
    """Slow start, then the cubic curve around the window of the last loss, never below the Reno estimate."""

    __slots__ = (
        "_ack_cnt", "_cnt", "_credit", "_delay_min", "_epoch", "_hystart", "_k", "_last_cwnd", "_last_time",
        "_origin", "_prior", "_reno_cwnd", "_w_max", "cwnd", "mss", "ssthresh",
    )  # fmt: skip
    name = "cubic"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        self.mss = mss
        self.cwnd = cwnd
        self.ssthresh = ssthresh
        self._prior = (cwnd, ssthresh)
        self._reset()

    def _reset(self) -> None:
        """bictcp_reset. Windows are whole numbers of segments."""
        self._hystart: HyStart | None = HyStart()
        self._delay_min = inf
        self._w_max = 0
        self._epoch: int | None = None  # the jiffy in which the congestion avoidance stage began
        self._k = 0.0
        self._origin = 0
        self._reno_cwnd = 0
        self._ack_cnt = 0.0  # segments acknowledged towards the next one of the Reno estimate
        self._cnt = 0  # segments to acknowledge for each by which cwnd grows
        self._credit = 0.0  # those acknowledged so far
        self._last_cwnd = 0  # at the last look at the curve
        self._last_time = 0

    def set_mss(self, mss: int) -> None:
        """The same number of segments, of `mss` bytes each; the curve is in segments already."""
        before, self.mss = self.mss, mss
        self.cwnd = rescaled(self.cwnd, mss, before)
        self.ssthresh = rescaled(self.ssthresh, mss, before)
        cwnd, ssthresh = self._prior
        self._prior = rescaled(cwnd, mss, before), rescaled(ssthresh, mss, before)

    def on_ack(self, acked: int, now: float, limited: bool) -> None:
        """Grow by bytes acknowledged (cubictcp_cong_avoid, tcp_cong_avoid_ai)."""
        if not limited:
            return
        if self.cwnd < self.ssthresh:
            grown = min(acked, self.ssthresh - self.cwnd)
            self.cwnd += grown
            acked -= grown
            if not acked:
                return
        segments = acked / self.mss
        self._update(segments, now)
        if self._credit >= self._cnt:  # gathered while more were asked for: applied gently
            self._credit = 0.0
            self.cwnd += self.mss
        self._credit += segments
        if self._credit >= self._cnt:
            grown = int(self._credit / self._cnt)
            self._credit -= grown * self._cnt
            self.cwnd += grown * self.mss

    def _update(self, segments: float, now: float) -> None:
        """Set `_cnt` after so many acknowledged segments (bictcp_update)."""
        window, jiffy = max(1, self.cwnd // self.mss), int(now * _HZ)
        self._ack_cnt += segments
        if window == self._last_cwnd and jiffy - self._last_time <= _UPDATE_JIFFIES:
            return
        if self._epoch is None or jiffy != self._last_time:
            self._last_cwnd, self._last_time = window, jiffy
            if self._epoch is None:
                self._begin(segments, window, jiffy)
            self._follow_curve(window, jiffy)
        self._keep_up_with_reno(window)

    def _begin(self, segments: float, window: int, jiffy: int) -> None:
        self._epoch = jiffy
        self._ack_cnt = segments
        self._reno_cwnd = window
        self._origin = max(self._w_max, window)
        self._k = float(((self._origin - window) / _C) ** (1 / 3))

    def _follow_curve(self, window: int, jiffy: int) -> None:
        """W_cubic a round trip from now (sections 4.2, 4.4 and 4.5)."""
        delay = ceil(self._delay_min * _HZ) if self._delay_min < inf else 0
        t = (jiffy + delay - (self._epoch or 0)) / _HZ - self._k
        target = self._origin + int(_C * t * t * t)
        self._cnt = window // (target - window) if target > window else 100 * window
        if not self._w_max and self._cnt > _CNT_BEFORE_LOSS:
            self._cnt = _CNT_BEFORE_LOSS

    def _keep_up_with_reno(self, window: int) -> None:
        """The Reno-friendly region (section 4.3)."""
        step = window * _RENO_EIGHTHS >> 3
        if self._ack_cnt > step > 0:
            steps = int(self._ack_cnt / step)
            self._ack_cnt -= steps * step
            self._reno_cwnd += steps
        if self._reno_cwnd > window:
            self._cnt = min(self._cnt, window // (self._reno_cwnd - window))
        self._cnt = max(self._cnt, _CNT_MIN)

    def on_rtt(self, rtt: float, una: int, nxt: int, now: float) -> None:
        """HyStart watches round trips (cubictcp_acked)."""
        if self._epoch is not None and now - self._epoch / _HZ < _SETTLE_S:
            return
        if rtt < self._delay_min:
            self._delay_min = rtt
        hystart = self._hystart
        if hystart is not None and self.cwnd < self.ssthresh:
            hystart.on_ack(una, nxt, now)
            if hystart.is_over(rtt, self._delay_min, self.cwnd, self.mss, now):
                self.ssthresh = self.cwnd
                self._hystart = None

    def on_round(self, delivered: int, now: float) -> None:
        """CUBIC does not count them; HyStart has rounds of its own."""

    def on_tx_start(self, idle: float, now: float) -> None:
        """The curve stands still while nothing was sent (cubictcp_cwnd_event; section 5.8)."""
        if self._epoch is not None and idle > 0:
            self._epoch = min(self._epoch + int(idle * _HZ), int(now * _HZ))

    def on_ece_acked(self, delivered: int) -> None:
        """CUBIC does not count them."""

    def on_ecn(self, now: float) -> None:
        """As on a loss (RFC 9438 section 4.6)."""
        self.on_loss(now)

    def on_loss(self, now: float) -> None:  # noqa: ARG002
        """Reduce to 0.7 and set W_max (section 4.6); fast convergence lowers W_max (section 4.7)."""
        window = self.cwnd // self.mss
        self._prior = (self.cwnd, self.ssthresh)
        self._w_max = window * (_SCALE + _BETA) // (2 * _SCALE) if window < self._w_max else window
        self.ssthresh = self.cwnd = max(window * _BETA // _SCALE, 2) * self.mss
        self._epoch = None
        self._credit = 0.0

    def on_timeout(self, now: float) -> None:
        """As on a loss, but restart with one segment, and forget the curve (cubictcp_state)."""
        self.on_loss(now)
        self.cwnd = self.mss
        self._reset()

    def undo(self) -> None:
        """The windows before the last reduction, or the present ones where larger (section 4.9)."""
        self.cwnd = max(self.cwnd, self._prior[0])
        self.ssthresh = max(self.ssthresh, self._prior[1])
