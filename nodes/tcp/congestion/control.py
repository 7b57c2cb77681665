"""The interface of a congestion control, and the choice of one by name. Owns nothing.

RFC 5681's terms, all windows in bytes; struct tcp_congestion_ops, net/ipv4/tcp_cong.c. cwnd grows by bytes
acknowledged and not by a count of ACKs: one ACK may be for many segments.
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
    """cwnd and ssthresh, which react to acknowledgements and losses. `recovery` decides what is a loss."""

    name: str
    mss: int
    cwnd: int
    ssthresh: int

    def set_mss(self, mss: int) -> None:
        """A wire packet carries `mss` bytes from now on: windows keep their number of segments, as in
        Linux."""

    def on_ack(self, acked: int, now: float, limited: bool) -> None:
        """An ACK outside recovery delivers `acked` bytes, without those that SACK has told of before
        (acked_sacked of tcp_cong_control); `limited`: cwnd was what limited the sender."""

    def on_rtt(self, rtt: float, una: int, nxt: int, now: float) -> None:
        """A round trip in seconds, measured on the newest segment of those that an ACK delivers, if it
        acknowledges no retransmission (ca_rtt_us of tcp_clean_rtx_queue). `una` and `nxt`: snd_una and
        snd_nxt."""

    def on_round(self, delivered: int, now: float) -> None:
        """A round trip, in which so many bytes were delivered, is over: all that was in flight when it began
        is acknowledged."""

    def on_tx_start(self, idle: float, now: float) -> None:
        """Data leaves while none is in flight, `idle` seconds after the last (CA_EVENT_TX_START)."""

    def on_ece_acked(self, delivered: int) -> None:
        """An ACK with ECE delivered so many bytes."""

    def on_ecn(self, now: float) -> None:
        """An ACK carried ECE (RFC 3168): one reduction for a window of data; nothing was lost."""

    def on_loss(self, now: float) -> None:
        """A loss was detected by ACKs: one reduction for a window of data."""

    def on_timeout(self, now: float) -> None:
        """The retransmission timer expired: restart from one segment."""

    def undo(self) -> None:
        """The last reduction was for a spurious loss (D-SACK, RFC 3708; Eifel, RFC 4015): restore the
        windows."""


def congestion_control(name: str, mss: int, old: CongestionControl | None = None) -> CongestionControl:
    """The congestion control called `name`: "cubic", "dctcp", "newreno" or its kernel name "reno".

    It starts with the initial window, or with cwnd and ssthresh of `old`, whose last reduction cannot be
    undone any more (tcp_init_congestion_control). Raises ValueError for a name that is not offered.
    """
    if name not in _CHOICES:
        raise ValueError(f"congestion control {name!r} is not offered: choose one of {', '.join(_CHOICES)}")
    if old is not None:
        return _CHOICES[name](mss, old.cwnd, old.ssthresh)
    return _CHOICES[name](mss, INITIAL_WINDOW_SEGMENTS * mss)
