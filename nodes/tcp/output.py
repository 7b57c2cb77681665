"""What is due in, segments with their headers out. Owns the ports, the ECN agreement and the counts of
packets.

RFC 9293 section 3.1, RFC 7323 section 3, RFC 3168 section 6.1; net/ipv4/tcp_output.c __tcp_transmit_skb,
tcp_send_ack, tcp_xmit_probe_skb. `xmit` decides which data leaves, `receiver` whether an ACK is due. SYNs are
built in `handshake`.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.mib import TcpMib
from nodes.tcp.receiver import Receiver
from nodes.tcp.sack import SentSegment
from nodes.tcp.segment import ECT0, Segment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import MASK, ts_val
from nodes.tcp.xmit import Xmit
from nodes.wire.tcp import ACK, CWR, ECE, FIN, MAX_SACK_BLOCKS, PSH, RST, TcpHeader


class SegmentOutput:
    """Builds every segment of a connection but its SYN. `ports`: local, remote."""

    __slots__ = (
        "_mib", "_receiver", "_sender", "_xmit", "all_ect", "data_segs_out", "ecn", "ports", "segs_out",
    )  # fmt: skip

    def __init__(
        self, ports: tuple[int, int], sender: Sender, receiver: Receiver, xmit: Xmit, mib: TcpMib
    ) -> None:
        self.ports = ports
        self._sender = sender
        self._receiver = receiver
        self._xmit = xmit
        self._mib = mib
        self.ecn = False  # both ends agreed on ECN
        self.all_ect = False  # DCTCP: every segment is ECN-capable (RFC 8257 section 3.5)
        self.segs_out = self.data_segs_out = 0  # wire packets sent, and those with payload

    def header(self, seq: int, flags: int, window: int, now: float) -> TcpHeader:
        """A header that acknowledges rcv_nxt. `window`: the scaled field."""
        ports, receiver = self.ports, self._receiver
        nxt = receiver.rcv_nxt & MASK
        if not receiver.timestamps:
            return TcpHeader(ports[0], ports[1], seq & MASK, nxt, flags, window)
        return TcpHeader(
            ports[0], ports[1], seq & MASK, nxt, flags, window,
            0, None, None, False, ts_val(now), receiver.ts_recent,
        )  # fmt: skip

    def transmit(self, now: float, limit: int, out: list[Segment]) -> None:
        """Add to `out` all that is due: at most `limit` segments of data, an ACK, a window probe."""
        sender, receiver = self._sender, self._receiver
        before = self.segs_out
        if receiver.ack_due and (receiver.duplicate_sack is not None or receiver.reassembly):
            # SACK blocks leave on a bare ACK: in a data segment they would take room from the payload
            out.append(self.ack(now, receiver.ece))
            self.segs_out += 1
        if sender.pacer is None:
            sent = self._xmit.write_xmit(now, limit)
        else:
            sent = self._xmit.write_xmit_paced(now, limit, self.data_segs_out)
        if sent:
            window = receiver.select_window()
            out += [self._data_segment(each, window, now) for each in sent]
            receiver.on_ack_sent()
            if receiver.data_segs_in:
                receiver.quick_ack.on_data_sent(now - receiver.last_data_at)
        elif receiver.ack_due:
            out.append(self.ack(now, receiver.ece))
            self.segs_out += 1
        if sender.persist.probe_due:
            sender.persist.probe_due = False
            out.append(self.probe(now))
            self.segs_out += 1
        if self.segs_out != before:
            self._mib.TcpOutSegs += self.segs_out - before

    def count(self, packets: int) -> None:
        """`packets` wire packets are about to leave."""
        self.segs_out += packets
        self._mib.TcpOutSegs += packets

    def _data_segment(self, sent: SentSegment, window: int, now: float) -> Segment:
        sender = self._sender
        length = sent.end - sent.fin - sent.seq
        flags = ACK | FIN if sent.fin else ACK
        mss = sender.mss if length > sender.mss else 0
        if mss or (length and sent.end == sender.snd_nxt and not sender.queue.bytes):
            flags |= PSH  # also on a super-segment: the peer's NIC then hands up what it has coalesced
        packets = -(-length // mss) if mss else 1
        self.segs_out += packets
        if length:
            self.data_segs_out += packets
        segment = Segment(self.header(sent.seq, flags, window, now), sent.clone_payload(), mss)
        if self.ecn:
            self._set_ecn(segment, sent.transmissions == 1, self._receiver.ece)
        return segment

    def _set_ecn(self, segment: Segment, new: bool, ece: bool) -> None:
        """The ECN bits of a segment (tcp_ecn_send). A retransmission is not ECN-capable, so that its loss
        stays a loss (RFC 3168 section 6.1.5)."""
        sender = self._sender
        if ece:
            segment.header.flags |= ECE
        if self.all_ect:
            segment.ecn = ECT0
        if new and segment.payload is not None:
            segment.ecn = ECT0
            if sender.cwr_due:
                sender.cwr_due = False
                segment.header.flags |= CWR

    def ack(self, now: float, ece: bool) -> Segment:
        """A bare ACK, with SACK blocks if there are any; with ECN agreed, `ece` is its ECE bit."""
        sender, receiver = self._sender, self._receiver
        # If the peer's window shrank, it would not accept even an ACK beyond it (tcp_acceptable_seq).
        seq = min(sender.snd_nxt, sender.snd_una + sender.snd_wnd)
        header = self.header(seq, ACK, receiver.select_window(), now)
        if sender.sack_permitted and (receiver.duplicate_sack is not None or receiver.reassembly):
            if receiver.duplicate_sack is not None:
                self._mib.TcpExtTCPDSACKOldSent += 1
            blocks = receiver.sack_blocks(MAX_SACK_BLOCKS - receiver.timestamps)
            header.sack = tuple((left & MASK, right & MASK) for left, right in blocks)
        receiver.on_ack_sent()
        if receiver.comp_sack.at != inf:
            self._mib.TcpExtTCPAckCompressed += receiver.comp_sack.take()
        segment = Segment(header)
        if self.ecn:
            self._set_ecn(segment, False, ece)
        return segment

    def probe(self, now: float) -> Segment:
        """A window or keepalive probe: no payload, at SND.UNA - 1, which the peer answers
        (tcp_xmit_probe_skb)."""
        return Segment(self.header(self._sender.snd_una - 1, ACK, self._receiver.select_window(), now))

    def reset(self, now: float) -> Segment:
        """The RST of an abort (RFC 9293 section 3.10.5; tcp_send_active_reset)."""
        self._mib.TcpOutRsts += 1
        return Segment(self.header(self._sender.snd_nxt, RST | ACK, 0, now))


def reset_for(segment: Segment) -> Segment | None:
    """The RST that answers a segment of no connection (RFC 9293 section 3.10.7.1; tcp_v4_send_reset), or None
    if the segment is a RST itself. The segment's payload stays the caller's to release."""
    header = segment.header
    if header.flags & RST:
        return None
    if header.flags & ACK:
        return Segment(TcpHeader(header.dst_port, header.src_port, header.ack, 0, RST, 0))
    ack = header.seq + segment.length & MASK
    return Segment(TcpHeader(header.dst_port, header.src_port, 0, ack, RST | ACK, 0))
