"""DCTCP: acknowledged bytes, and how many of them came with ECE, in; cwnd out.

RFC 8257; net/ipv4/tcp_dctcp.c. Owns DCTCP.Alpha, the average share of marked bytes; else as NewReno.
"""

from __future__ import annotations

from nodes.tcp.congestion.newreno import UNLIMITED, NewReno

_GAIN = 1 / 16  # g of section 3.3, dctcp_shift_g


class Dctcp(NewReno):
    """A window that is reduced by half the share of marked bytes."""

    __slots__ = ("_acked", "_marked", "alpha")
    name = "dctcp"

    def __init__(self, mss: int, cwnd: int, ssthresh: int = UNLIMITED) -> None:
        super().__init__(mss, cwnd, ssthresh)
        self.alpha = 1.0
        self._acked = 0
        self._marked = 0

    def on_ack(self, acked: int, now: float, srtt: float, limited: bool) -> None:
        """As NewReno; and count the bytes (section 3.3)."""
        self._acked += acked
        super().on_ack(acked, now, srtt, limited)

    def on_ece_acked(self, acked: int) -> None:
        """Count bytes acknowledged with ECE (section 3.3)."""
        self._marked += acked

    def on_round(self, now: float) -> None:  # noqa: ARG002
        """An observation window is over: its share of marked bytes goes into alpha."""
        if self._acked:
            share = min(1.0, self._marked / self._acked)
            self.alpha += (share - self.alpha) * _GAIN
            self._acked = self._marked = 0

    def on_ecn(self, now: float) -> None:  # noqa: ARG002
        """Reduce by alpha / 2 (section 3.3)."""
        self._prior = (self.cwnd, self.ssthresh)
        self.ssthresh = self.cwnd = max(int(self.cwnd * (1 - self.alpha / 2)), 2 * self.mss)
        self._credit = 0
