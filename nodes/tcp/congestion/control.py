"""What every congestion control offers the sender, and the choice of one by name. Owns nothing.

RFC 5681 terms; all windows in bytes. net/ipv4/tcp_cong.c. Growth is by bytes acknowledged and never by a
count of ACKs, since peers stretch them.
"""

from __future__ import annotations

from typing import Protocol

from nodes.tcp.congestion.cubic import Cubic
from nodes.tcp.congestion.dctcp import Dctcp
from nodes.tcp.congestion.newreno import UNLIMITED, NewReno

INITIAL_WINDOW_SEGMENTS = 10  # RFC 6928
UNLIMITED_WINDOW = UNLIMITED  # ssthresh before the first loss
_CHOICES: dict[str, type[NewReno] | type[Cubic] | type[Dctcp]] = {
    "cubic": Cubic, "newreno": NewReno, "reno": NewReno, "dctcp": Dctcp,
}  # fmt: skip


class CongestionControl(Protocol):
    """A window that reacts to acknowledgements and losses. The sender alone decides what a loss is."""

    name: str
    cwnd: int
    ssthresh: int

    def set_mss(self, mss: int) -> None:
        """A wire packet carries `mss` bytes from now on: windows stay so many segments, as Linux counts."""

    def on_ack(self, acked: int, now: float, srtt: float, limited: bool) -> None:
        """`acked` new bytes arrived outside recovery; `limited`: cwnd was what held the sender back."""

    def on_rtt(self, rtt: float) -> None:
        """A round trip was measured, in seconds, on something sent once."""

    def on_round(self, now: float) -> None:
        """All that was in flight when the last round began is acknowledged: a round trip is over."""

    def on_marked(self, acked: int) -> None:
        """`acked` of the bytes told to `on_ack` next were acknowledged with ECE."""

    def on_ecn(self, now: float) -> None:
        """The network asks for less (RFC 3168): one reduction for a window of data, nothing was lost."""

    def on_loss(self, now: float) -> None:
        """A loss was detected by acknowledgements: one reduction for a window of data."""

    def on_timeout(self, now: float) -> None:
        """The retransmission timer expired: restart from one segment."""

    def undo(self) -> None:
        """The last reduction was for nothing (D-SACK, RFC 3708; Eifel, RFC 4015): take it back."""


def congestion_control(name: str, mss: int, old: CongestionControl | None = None) -> CongestionControl:
    """The control called `name` ("cubic", "newreno" or its kernel name "reno"), at the initial window or at
    the windows of `old`; a reduction of that is final, nothing undoes it (tcp_init_congestion_control).

    Raises ValueError for a name that is not offered.
    """
    if name not in _CHOICES:
        raise ValueError(f"congestion control {name!r} is not offered: choose one of {', '.join(_CHOICES)}")
    if old is not None:
        return _CHOICES[name](mss, old.cwnd, old.ssthresh)
    return _CHOICES[name](mss, INITIAL_WINDOW_SEGMENTS * mss)
