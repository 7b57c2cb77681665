"""DCTCP: acknowledged bytes, and how many of them came with ECE, in; cwnd out.

RFC 8257; net/ipv4/tcp_dctcp.c, whose whole numbers are followed: with windows of a few segments the shares
of a bottleneck hang on what is rounded off. Owns DCTCP.Alpha, the average share of marked bytes; else as
NewReno.
"""

from __future__ import annotations

from nodes.tcp.congestion.newreno import UNLIMITED, NewReno

_SHIFT_G = 4  # g of section 3.3 is 1/16 (dctcp_shift_g)
_ALPHA_BITS = 10
_ALPHA_MAX = 1 << _ALPHA_BITS


class Dctcp(NewReno):
    """A window that is reduced by half the share of marked bytes, by whole segments. `alpha`: of 1024."""

    __slots__ = ("_marked", "alpha")
    name = "dctcp"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        super().__init__(mss, cwnd, ssthresh)
        self.alpha = _ALPHA_MAX
        self._marked = 0

    def on_ece_acked(self, delivered: int) -> None:
        """Count bytes delivered with ECE (section 3.3)."""
        self._marked += delivered

    def on_round(self, delivered: int, now: float) -> None:  # noqa: ARG002
        """An observation window is over: its share of marked bytes goes into alpha (dctcp_update_alpha).
        Without marks a small alpha falls to 0."""
        alpha = self.alpha
        alpha -= (alpha >> _SHIFT_G) or alpha
        if self._marked:
            alpha += (self._marked << (_ALPHA_BITS - _SHIFT_G)) // max(1, delivered)
        self.alpha = min(alpha, _ALPHA_MAX)
        self._marked = 0

    def on_ecn(self, now: float) -> None:  # noqa: ARG002
        """Reduce by alpha / 2 (section 3.3; dctcp_ssthresh)."""
        self._prior = (self.cwnd, self.ssthresh)
        segments = self.cwnd // self.mss
        segments -= segments * self.alpha >> _ALPHA_BITS + 1
        self.ssthresh = self.cwnd = max(segments, 2) * self.mss
        self._credit = 0
