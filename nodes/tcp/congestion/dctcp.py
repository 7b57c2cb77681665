"""DCTCP: acknowledged bytes, and how many of them came with ECE, in; cwnd out.

RFC 8257; net/ipv4/tcp_dctcp.c. Owns DCTCP.Alpha, the average share of marked bytes; else as NewReno.
"""

from __future__ import annotations

from nodes.tcp.congestion.newreno import UNLIMITED, NewReno

_GAIN = 1 / 16  # g of section 3.3, dctcp_shift_g


class Dctcp(NewReno):
    """A window that is reduced by half the share of marked bytes."""

    __slots__ = ("_marked", "alpha")
    name = "dctcp"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        super().__init__(mss, cwnd, ssthresh)
        self.alpha = 1.0
        self._marked = 0

    def on_ece_acked(self, delivered: int) -> None:
        """Count bytes delivered with ECE (section 3.3)."""
        self._marked += delivered

    def on_round(self, delivered: int, now: float) -> None:  # noqa: ARG002
        """An observation window is over: its share of marked bytes goes into alpha (dctcp_update_alpha)."""
        if delivered:
            share = min(1.0, self._marked / delivered)
            self.alpha += (share - self.alpha) * _GAIN
            self._marked = 0

    def on_ecn(self, now: float) -> None:  # noqa: ARG002
        """Reduce by alpha / 2 (section 3.3)."""
        self._prior = (self.cwnd, self.ssthresh)
        self.ssthresh = self.cwnd = max(int(self.cwnd * (1 - self.alpha / 2)), 2 * self.mss)
        self._credit = 0
