"""ICMP errors about a connection's segments in; a smaller MSS or the end of a handshake out. Owns nothing.

RFC 5927 (an error is believed only if the sequence number that it quotes is in flight), RFC 5461, RFC 1191;
tcp_v4_err, tcp_v4_mtu_reduced (net/ipv4/tcp_ipv4.c), tcp_simple_retransmit (net/ipv4/tcp_input.c). Which
connection an error is about is decided by the caller.
"""

from __future__ import annotations

from nodes.tcp.handshake import TIMESTAMP_BYTES
from nodes.tcp.seq import unwrap
from nodes.tcp.state import HANDSHAKE, SYNCHRONIZED
from nodes.tcp.tcb import Tcb
from nodes.wire.tcp import HEADER_BYTES

MIN_MSS = 500  # about what sysctl min_pmtu (552) leaves of a packet


class IcmpErr:
    """`quoted_seq`: 32 bits, the sequence number of our segment in the error's quote."""

    __slots__ = ("_tcb",)

    def __init__(self, tcb: Tcb) -> None:
        self._tcb = tcb

    def on_packet_too_big(self, mtu: int, quoted_seq: int, discovers: bool, now: float) -> bool:
        """A router forwards at most `mtu` bytes: later segments are smaller, larger ones in flight are lost.
        Nothing changes unless the socket `discovers` the path's MTU. Returns whether the error was
        believed."""
        tcb, sender = self._tcb, self._tcb.sender
        if tcb.state not in SYNCHRONIZED:
            return False
        seq = unwrap(quoted_seq, sender.snd_una)
        mss = max(self._mss_of(mtu), MIN_MSS)
        if not sender.snd_una <= seq < sender.snd_nxt or mss >= sender.mss:
            return False
        if not discovers:
            return True
        sender.set_mss(mss)
        if sender.scoreboard.mark_oversized_lost(seq, mss):
            sender.recovery.force_retransmit = True
            tcb.write_timer.arm(now)
        return True

    def on_path_mtu_expired(self, mtu: int) -> None:
        """The path MTU that a router told has expired: packets of `mtu` bytes may pass again, as far as the
        peer takes them. If they do not, a router will say so."""
        sender = self._tcb.sender
        sender.set_mss(max(sender.mss, min(self._mss_of(mtu), sender.mss_clamp)))

    def on_route_changed(self, mtu: int) -> None:
        """Packets take another route, on which `mtu` bytes pass (tcp_sync_mss)."""
        sender = self._tcb.sender
        mss = max(min(self._mss_of(mtu), sender.mss_clamp), min(MIN_MSS, sender.mss))
        if self._tcb.state in SYNCHRONIZED and mss != sender.mss:
            sender.set_mss(mss)

    def is_in_flight(self, quoted_seq: int) -> bool:
        """Whether the quoted segment is one of ours that is not acknowledged: the message is believed."""
        sender = self._tcb.sender
        return sender.snd_una <= unwrap(quoted_seq, sender.snd_una) < sender.snd_nxt

    def on_unreachable(self, error: int, quoted_seq: int) -> bool:
        """Our segment cannot be delivered: a handshake ends with errno `error`, a connection goes on
        (RFC 5461). Returns whether the error was believed."""
        tcb = self._tcb
        if not self.is_in_flight(quoted_seq):
            return False
        if tcb.state in HANDSHAKE:
            tcb.end(error)
        return True

    def _mss_of(self, mtu: int) -> int:
        """Payload bytes of a packet of `mtu` bytes (tcp_mtu_to_mss)."""
        tcb = self._tcb
        options = TIMESTAMP_BYTES if tcb.receiver.timestamps else 0
        return mtu - tcb.config.ip_header_bytes - HEADER_BYTES - options
