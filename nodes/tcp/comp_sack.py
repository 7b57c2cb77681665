"""Segments beyond a hole in, whether the ACK of each may wait out. Owns the ACKs that wait to leave as one.

The first three segments beyond a hole are acknowledged at once, since three make the peer retransmit. The
ACKs of more are compressed: one leaves for all of them a part of a round trip later. RFC 5681 section 4.2
asks for more; net/ipv4/tcp_input.c __tcp_ack_snd_check, tcp_sack_compress_send_ack, net/ipv4/tcp_timer.c
tcp_compressed_ack_kick.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.receive_buffer import ReceiveBuffer
from nodes.tcp.rtt import RttEstimator

COMP_SACK_NR = 44  # sysctl tcp_comp_sack_nr: ACKs that one may stand for
_DELAY_MAX_S = 0.001  # sysctl tcp_comp_sack_delay_ns
# Since Linux 6.19 a sysctl, tcp_comp_sack_rtt_percent, which is 33 by default.
_RTT_FRACTION = 0.05
_AT_ONCE = 3  # TCP_FASTRETRANS_THRESH


class CompressedAck:
    """`at`: when the compressed ACK leaves, inf without one. `waiting`: the ACKs that it stands for. `rtt`:
    of the sending half; None: the peer has no SACK, so nothing is compressed."""

    __slots__ = ("_acked_at_once", "_buffer", "_rcv_nxt", "at", "rtt", "waiting")

    def __init__(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer
        self.rtt: RttEstimator | None = None
        self.at = inf
        self.waiting = 0
        self._acked_at_once = 0  # segments beyond the hole at `_rcv_nxt`
        self._rcv_nxt = -1

    def defers(self, rcv_nxt: int, now: float) -> bool:
        """A segment beyond the hole at `rcv_nxt` came: whether its ACK waits until `at`."""
        if self.rtt is None or self.waiting >= COMP_SACK_NR:
            return False
        if self._rcv_nxt != rcv_nxt:
            self._rcv_nxt, self._acked_at_once = rcv_nxt, 0
        if self._acked_at_once < _AT_ONCE:
            self._acked_at_once += 1
            return False
        self.waiting += 1
        if self.at == inf:
            rtt, srtt = self._buffer.rtt_s, self.rtt.srtt
            self.at = now + min(_DELAY_MAX_S, _RTT_FRACTION * (srtt if 0 < srtt < rtt else rtt))
        return True

    def take(self) -> int:
        """An ACK leaves: none waits any more. Returns how many did."""
        waiting, self.waiting, self.at = self.waiting, 0, inf
        return waiting
