"""Segments in; deliveries to the receiver, ACKs to the sender, and events for the state out. Owns nothing.

RFC 9293 section 3.10.7, in its order; net/ipv4/tcp_input.c tcp_rcv_synsent_state_process,
tcp_rcv_state_process, and the slow path of tcp_rcv_established (the fast path, header prediction, is in
`connection`). Whether a segment is acceptable is decided in `validate`, what its ACK means in `ack`, what its
payload means in `receiver`, what a new state requires in `tcb`. `now`: monotonic seconds.
"""

from __future__ import annotations

import errno

from nodes.tcp.output import reset_for
from nodes.tcp.segment import CE, Segment
from nodes.tcp.seq import MASK, unwrap
from nodes.tcp.state import FIN_WAIT, Event, State
from nodes.tcp.tcb import Tcb
from nodes.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, TcpHeader

_ACK_OF_FIN_STATES = (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


class SegmentInput:
    """The segment input of one connection."""

    __slots__ = ("_ack", "_receiver", "_sender", "_tcb", "_validate")

    def __init__(self, tcb: Tcb) -> None:
        self._tcb = tcb
        self._sender = tcb.sender
        self._receiver = tcb.receiver
        self._ack = tcb.ack
        self._validate = tcb.validate

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment that header prediction did not take, and own its payload."""
        tcb = self._tcb
        if tcb.state is State.SYN_SENT:
            self._receive_in_syn_sent(segment, now)
        elif tcb.time_wait is not None:
            tcb.time_wait.receive_segment(segment, now)
            if tcb.time_wait.state is State.CLOSED:
                tcb.end(0)
        elif tcb.state is State.CLOSED:
            segment.drop()
        else:
            self._receive_in_other_states(segment, now)

    def _receive_in_syn_sent(self, segment: Segment, now: float) -> None:
        """RFC 9293 section 3.10.7.3."""
        tcb, header, flags = self._tcb, segment.header, segment.header.flags
        segment.drop()  # payload of a SYN is not taken; the peer sends it again
        acknowledged = bool(flags & ACK) and header.ack == self._sender.snd_nxt & MASK
        if flags & ACK and not acknowledged:
            self._send_reset(segment)
        elif flags & RST:
            if acknowledged:
                tcb.end(errno.ECONNREFUSED)
        elif flags & SYN:
            handshake = tcb.on_syn_received(segment)
            if acknowledged:
                tcb.fire(Event.SYN_ACK, now)
                tcb.establish(header.window, now)
                self._receiver.ack_due = True
            else:
                tcb.fire(Event.SYN, now)
                handshake.syn_due = True

    def _receive_in_other_states(self, segment: Segment, now: float) -> None:
        """RFC 9293 section 3.10.7.4, in its order: validity, RST, SYN, ACK, payload and FIN."""
        tcb, header, receiver = self._tcb, segment.header, self._receiver
        flags = header.flags
        seq = unwrap(header.seq, receiver.rcv_nxt)
        if flags & SYN and tcb.state is State.SYN_RECEIVED and seq == receiver.rcv_nxt - 1:
            if not flags & ACK:
                receiver.ack_due = True  # the peer did not receive our SYN-ACK: it leaves again
                segment.drop()
                return
            seq, flags = seq + 1, flags & ~SYN  # simultaneous open: the SYN again, with the ACK of ours
        if not flags & (ACK | RST | SYN):
            segment.drop()  # whatever its numbers are: it is not answered
        elif not self._validate.validate_incoming(segment, seq, flags, now):
            segment.drop()
        elif flags & RST:
            self._on_rst_received(seq, now)
            segment.drop()
        elif flags & SYN:
            tcb.config.netns.mib.TcpExtTCPSYNChallenge += 1
            self._validate.send_challenge_ack(now)
            segment.drop()
        elif not flags & ACK or not self._process_ack(segment, seq, now):
            segment.drop()
        else:
            self._process_text(segment, seq, flags, now)

    def _on_rst_received(self, seq: int, now: float) -> None:
        """RFC 5961 section 3.2: a RST with exactly RCV.NXT ends the connection (tcp_reset), another is
        answered by a challenge ACK."""
        if seq == self._receiver.rcv_nxt:
            self._tcb.end(errno.EPIPE if self._tcb.state is State.CLOSE_WAIT else errno.ECONNRESET)
        else:
            self._validate.send_challenge_ack(now)

    def _process_ack(self, segment: Segment, seq: int, now: float) -> bool:
        """RFC 9293 section 3.10.7.4, fifth. Returns whether the segment's payload may be processed."""
        tcb, header, sender = self._tcb, segment.header, self._sender
        ack = unwrap(header.ack, sender.snd_una)
        if tcb.state is State.SYN_RECEIVED:
            if ack != sender.snd_nxt:
                self._send_reset(Segment(header))
                return False
            tcb.fire(Event.ACK_OF_SYN, now)
            tcb.config.netns.mib.TcpPassiveOpens += 1
            tcb.establish(header.window << sender.snd_wscale, now)
        if ack > sender.snd_nxt or ack < sender.snd_una - max(sender.max_wnd, 65535):
            self._validate.send_challenge_ack(now)
            return False
        before, delivered = sender.snd_una, sender.scoreboard.delivered
        ece = self._ack.ece = header.flags & ECE != 0 and tcb.output.ecn
        if ack >= before:
            window = header.window << sender.snd_wscale
            unchanged = ack == before and window == sender.snd_wnd
            if unchanged and segment.payload is None and not header.flags & FIN:
                self._ack.on_duplicate_ack(now)
            self._ack.on_ack_received(ack, seq, window, header.ts_ecr, now)
        if header.sack and sender.sack_permitted:
            self._ack.on_sack_received(header.sack, ack, now)
        if ece:
            self._ack.on_ece_received(sender.scoreboard.delivered - delivered, now)
        if sender.fin_acked and tcb.state in _ACK_OF_FIN_STATES:
            tcb.fire(Event.ACK_OF_FIN, now)
            if tcb.state is State.FIN_WAIT_2 and tcb.orphan and tcb.config.linger2_s < 0:
                self._abort_on_data(header)
        return tcb.state is not State.CLOSED and tcb.time_wait is None

    def _process_text(self, segment: Segment, seq: int, flags: int, now: float) -> None:
        """RFC 9293 section 3.10.7.4, sixth to eighth: payload and FIN. Urgent data is ordinary data (RFC
        6093)."""
        tcb, payload, receiver = self._tcb, segment.payload, self._receiver
        if receiver.fin_received and seq >= receiver.rcv_nxt:
            segment.drop()  # beyond the end of the peer's stream there is nothing to acknowledge
            return
        if payload is not None:
            end = seq + len(payload)
            if end > receiver.rcv_nxt and self._has_no_reader():
                payload.release()
                self._abort_on_data(segment.header)
                return
            output = tcb.output
            if output.ecn and receiver.on_ecn_bits_received(
                segment.ecn == CE, bool(flags & CWR), output.all_ect
            ):
                if receiver.rcv_nxt != receiver.last_ack_sent:
                    tcb.replies.append(output.ack(now, not receiver.ece))
                receiver.ack_due = True
            packets = -(-len(payload) // segment.mss) if segment.mss else 1
            if receiver.comp_sack.waiting and receiver.reassembly.hides_block(seq, end):
                tcb.send_compressed_ack(now)
            if segment.header.ts_ecr != receiver.last_ts_ecr:
                receiver.on_ts_ecr(segment.header.ts_ecr, len(payload), now)
            receiver.on_data_received(seq, payload, now, segment.scarce, packets)
            fin_taken = receiver.take_fin()
            if receiver.ack_due and not (fin_taken or flags & FIN or receiver.memory_short):
                # At once, not at the end of the batch: ACKs of a path that loses packets get lost as well.
                tcb.replies.append(output.ack(now, receiver.ece))
        else:
            end, fin_taken = seq, False
        if flags & FIN and end <= receiver.rcv_adv:
            fin_taken = receiver.on_fin_received(end) or fin_taken
        if fin_taken:
            tcb.fire(Event.FIN, now)

    def _has_no_reader(self) -> bool:
        """Whether new payload would be read by no process: the application has closed, the peer's stream has
        ended, or both directions were shut down."""
        tcb = self._tcb
        return tcb.orphan or self._receiver.fin_received or (tcb.rcv_shutdown and tcb.state in FIN_WAIT)

    def _abort_on_data(self, header: TcpHeader) -> None:
        """Payload that no process will read is answered by a RST (RFC 1122 section 4.2.2.13) that takes its
        sequence number from the segment, so that a peer that missed our FIN believes it
        (tcp_v4_send_reset)."""
        tcb = self._tcb
        tcb.config.netns.mib.TcpExtTCPAbortOnData += 1
        self._send_reset(Segment(header))
        tcb.end(errno.EPIPE if tcb.state is State.CLOSE_WAIT else errno.ECONNRESET)
        if tcb.orphan:
            tcb.release_received()

    def _send_reset(self, segment: Segment) -> None:
        """A RST that answers a segment which does not fit the handshake (tcp_v4_send_reset)."""
        reset = reset_for(segment)
        if reset is not None:
            self._tcb.config.netns.mib.TcpOutRsts += 1
            self._tcb.replies.append(reset)
