"""SYNs in, our SYN or SYN-ACK out, until both sides have agreed. Owns the handshake, and goes with it.

RFC 9293 sections 3.5 and 3.10.7.3; net/ipv4/tcp_timer.c tcp_retransmit_timer, inet_connection_sock.c.
"""

from __future__ import annotations

from nodes.tcp.config import TcpConfig
from nodes.tcp.handshake import Agreement, agree, asks_ecn, offer
from nodes.tcp.segment import CE, ECT0, Segment
from nodes.tcp.seq import MASK
from nodes.tcp.stamp import stamp
from nodes.wire.tcp import ACK, CWR, ECE, SYN, TcpHeader

SYN_RETRIES = 6  # tcp_syn_retries
SYN_ACK_RETRIES = 5


class Opening:
    """`due`: the SYN should leave; `peer` and `agreement` once the peer's SYN is here."""

    __slots__ = ("_config", "agreement", "began_at", "due", "peer", "retries")

    def __init__(self, config: TcpConfig, now: float) -> None:
        self._config = config
        self.began_at = now
        self.due = True
        self.retries = 0
        self.peer: TcpHeader | None = None
        self.agreement: Agreement | None = None

    def hear(self, segment: Segment) -> Agreement:
        """Learn from the peer's SYN or SYN-ACK."""
        self.peer = segment.header
        self.agreement = agree(self._config, segment.header, ECT0 <= segment.ecn <= CE)
        return self.agreement

    def repeat(self, now: float) -> bool:
        """Nobody answered; False: that was often or long enough."""
        limit, waited = self._config.user_timeout_s, now - self.began_at
        if self.retries >= self.retries_most or (limit and waited >= limit):
            return False
        self.retries += 1
        self.due = True
        return True

    @property
    def retries_most(self) -> int:
        """tcp_syn_retries or tcp_synack_retries."""
        return SYN_RETRIES if self.peer is None else SYN_ACK_RETRIES

    def wait_s(self, rto: float, now: float) -> float:
        """Seconds until the next `repeat`."""
        wait, limit = rto * (1 << self.retries), self._config.user_timeout_s
        return min(wait, max(0.0, self.began_at + limit - now)) if limit else wait

    def segment(self, ports: tuple[int, int], seq: int, ack: int, ts_recent: int, now: float) -> Segment:
        """Our SYN, or in answer to the peer's our SYN-ACK."""
        self.due = False
        if not self.retries:
            self.began_at = now
        header = TcpHeader(ports[0], ports[1], seq & MASK, 0, SYN, 0)
        if self.peer is not None:
            header.flags, header.ack = SYN | ACK, ack & MASK
            if self.agreement is not None and self.agreement.ecn and not self.peer.flags & ACK:
                header.flags |= ECE
        elif asks_ecn(self._config) and not self.retries:  # a path that drops such SYNs gets another
            header.flags |= ECE | CWR
        offer(header, self._config, self.peer, stamp(now), ts_recent)
        return Segment(header)
