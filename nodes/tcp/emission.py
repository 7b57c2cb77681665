"""What is due in, segments with their headers out. Owns ports, timestamps and ECN of one connection.

RFC 9293 section 3.1, RFC 7323 section 3, RFC 3168 section 6.1; net/ipv4/tcp_output.c __tcp_transmit_skb,
tcp_send_ack. Whether something is due is the sender's and the receiver's to say.
"""

from __future__ import annotations

from nodes.tcp.mib import TcpMib
from nodes.tcp.receiver import Receiver
from nodes.tcp.sack import Record
from nodes.tcp.segment import ECT0, Segment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import MASK
from nodes.tcp.stamp import stamp
from nodes.wire.tcp import ACK, CWR, ECE, FIN, MAX_SACK_BLOCKS, PSH, RST, TcpHeader


class Emitter:
    """Builds every segment of a connection but its SYN."""

    __slots__ = (
        "_mib", "_receiver", "_sender", "all_ect", "data_segs_out", "ecn", "ports", "segs_out", "timestamps",
        "ts_recent",
    )  # fmt: skip

    def __init__(self, ports: tuple[int, int], sender: Sender, receiver: Receiver, mib: TcpMib) -> None:
        self.ports = ports  # local, remote
        self._sender = sender
        self._receiver = receiver
        self._mib = mib
        self.timestamps = False
        self.ts_recent = 0
        self.ecn = False  # both sides agreed
        self.all_ect = False  # DCTCP marks every segment (RFC 8257 section 3.5)
        self.segs_out = self.data_segs_out = 0  # wire packets, and those with payload

    def header(self, seq: int, flags: int, window: int, now: float) -> TcpHeader:
        """A header that acknowledges all there is."""
        ports, nxt = self.ports, self._receiver.rcv_nxt & MASK
        if not self.timestamps:
            return TcpHeader(ports[0], ports[1], seq & MASK, nxt, flags, window)
        return TcpHeader(
            ports[0], ports[1], seq & MASK, nxt, flags, window,
            0, None, None, False, stamp(now), self.ts_recent,
        )  # fmt: skip

    def transmit(self, now: float, limit: int, out: list[Segment]) -> None:
        """Add to `out` what sender and receiver have due; at most `limit` segments of data."""
        sender, receiver = self._sender, self._receiver
        before = len(out)
        if receiver.ack_due and (receiver.duplicate is not None or receiver.reassembly):
            out.append(self.ack(now))  # SACK goes alone: beside data it would change the size of segments
        if sender.pacer is None:
            records = sender.transmit(now, limit)
        else:
            records = sender.transmit_paced(now, limit, self.data_segs_out)
        if records:
            window = receiver.window()
            out += [self._data(record, window, now) for record in records]
            receiver.ack_sent()
        elif receiver.ack_due:
            out.append(self.ack(now))
        if sender.persist.due:
            sender.persist.due = False
            out.append(Segment(self.header(sender.snd_una - 1, ACK, receiver.window(), now)))
        if len(out) - before != len(records):
            self.count(len(out) - before - len(records))

    def count(self, packets: int) -> None:
        """`packets` of the wire are about to leave."""
        self.segs_out += packets
        self._mib.TcpOutSegs += packets

    def _data(self, record: Record, window: int, now: float) -> Segment:
        sender = self._sender
        length = record.end - record.fin - record.seq
        flags = ACK | FIN if record.fin else ACK
        if length and record.end == sender.snd_nxt and not sender.queue.bytes:
            flags |= PSH
        mss = sender.mss if length > sender.mss else 0
        packets = -(-length // mss) if mss else 1
        self.count(packets)
        if length:
            self.data_segs_out += packets
        segment = Segment(self.header(record.seq, flags, window, now), record.copy(), mss)
        if self.ecn:
            self._mark(segment, record.transmissions == 1)
        return segment

    def _mark(self, segment: Segment, new: bool) -> None:
        """ECN of a segment: what is sent again is not marked, so its loss stays a loss (RFC 3168, 6.1.5)."""
        sender = self._sender
        if self._receiver.ece:
            segment.header.flags |= ECE
        if self.all_ect:
            segment.ecn = ECT0
        if new and segment.payload is not None:
            segment.ecn = ECT0
            if sender.cwr_due:
                sender.cwr_due = False
                segment.header.flags |= CWR

    def ack(self, now: float) -> Segment:
        """A bare ACK, with SACK where there is something to report."""
        sender, receiver = self._sender, self._receiver
        # Beyond a window that shrank, the peer would not accept even an ACK (tcp_acceptable_seq).
        seq = min(sender.snd_nxt, sender.snd_una + sender.snd_wnd)
        header = self.header(seq, ACK, receiver.window(), now)
        if sender.sack_permitted and (receiver.duplicate is not None or receiver.reassembly):
            if receiver.duplicate is not None:
                self._mib.TcpExtTCPDSACKOldSent += 1
            blocks = receiver.sack_blocks(MAX_SACK_BLOCKS - self.timestamps)
            header.sack = tuple((left & MASK, right & MASK) for left, right in blocks)
        receiver.ack_sent()
        segment = Segment(header)
        if self.ecn:
            self._mark(segment, new=False)
        return segment

    def reset(self, now: float) -> Segment:
        """The RST of an abort (RFC 9293 section 3.10.5)."""
        self._mib.TcpOutRsts += 1
        return Segment(self.header(self._sender.snd_nxt, RST | ACK, 0, now))
