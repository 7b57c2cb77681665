"""When data came and went in, whether an ACK may wait out. Owns what a connection knows about the rhythm of
its peer.

RFC 9293 section 3.8.6.3, RFC 5681 section 4.2; net/ipv4/tcp_input.c tcp_enter_quickack_mode,
tcp_measure_rcv_mss, net/ipv4/tcp_output.c tcp_event_data_sent, net/ipv4/tcp.c tcp_cleanup_rbuf.
"""

from __future__ import annotations

DELAYED_ACK_S = 0.04
QUICK_ACKS = 16  # TCP_MAX_QUICKACKS: while the peer's cwnd is small, each segment is acknowledged at once


class QuickAck:
    """`left`: so many segments are acknowledged at once, unless in `pingpong`: the application answers what
    it reads, and the ACK rides on the answer. `pushed`: how many ends of writes of the peer (at most 2) came
    since the last ACK: the peer may have nothing more to send."""

    __slots__ = ("left", "pingpong", "pushed")

    def __init__(self) -> None:
        self.left = QUICK_ACKS
        self.pingpong = False
        self.pushed = 0

    def enter(self, window: int, mss: int) -> None:
        """The peer retransmitted, or was silent for long: its cwnd is small. `window`: bytes that it may
        send."""
        self.left = max(self.left, min(QUICK_ACKS, max(2, window // (2 * mss))))
        self.pingpong = False

    def set(self, quick: bool) -> None:
        """TCP_QUICKACK."""
        self.left = QUICK_ACKS if quick else 0
        self.pingpong = not quick

    def on_push(self, small: bool) -> None:
        """A segment ended a write of the peer: it was `small`er than a full one, or a full one with PSH."""
        self.pushed = 2 if small and self.pushed else self.pushed or 1

    @property
    def due_at_read(self) -> bool:
        """Whether an ACK is due when the application has read everything."""
        return self.pushed > self.pingpong

    def on_data_sent(self, since_data_s: float) -> None:
        """Data leaves so many seconds after data came."""
        if since_data_s < DELAYED_ACK_S:
            self.pingpong = True

    def on_delayed_ack(self) -> None:
        """The ACK was delayed in vain: no answer came that it could ride on."""
        self.pingpong = False
