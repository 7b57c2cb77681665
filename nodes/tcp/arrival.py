"""Segments in; what they mean in a state, and the state that follows. Owns the halves of a connection.

RFC 9293 section 3.10.7, in its order; net/ipv4/tcp_input.c tcp_rcv_established, tcp_rcv_state_process.
Whether a segment may be looked at is `acceptance`'s, what follows for data `sender`'s and `receiver`'s, what
leaves `emission`'s. The application's calls and the timers are `connection`'s. `now`: monotonic seconds.
"""

from __future__ import annotations

import errno
from collections import deque
from dataclasses import replace
from math import inf

from nodes.tcp.acceptance import Acceptance
from nodes.tcp.config import TcpConfig
from nodes.tcp.emission import Emitter
from nodes.tcp.keepalive import Keepalive, KeepaliveTimer
from nodes.tcp.opening import Opening
from nodes.tcp.receiver import Receiver
from nodes.tcp.segment import CE, Payload, Segment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import HALF, MASK, unwrap
from nodes.tcp.state import CONNECTED, FINISHING, OPENING, RESET_ON_ABORT, SYNCHRONIZED, Event, State, after
from nodes.tcp.time_wait import Remains, TimeWait
from nodes.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN, TcpHeader

FIN_WAIT_2_S = 60.0  # for a peer that does not close, once nobody here could read what it sends
_ORDINARY = FIN | SYN | RST | ACK | ECE | CWR  # flags that decide the way through receive_segment
_ESTABLISHED = State.ESTABLISHED


class Arrival:
    """The part of a connection that segments drive."""

    __slots__ = (
        "_acceptance", "_closed", "_config", "_deadline", "_emitter", "_keepalive", "_opening", "_receiver",
        "_replies", "_sender", "_unwanted", "error", "established", "received", "state", "time_wait",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, ports: tuple[int, int], iss: int, state: State, now: float) -> None:
        """Use `connect` or `accept`. `ports`: local, remote."""
        self._config = config
        self.state = state
        self.established = False  # at some time
        self.error = 0  # errno of a dead connection: ECONNREFUSED, ECONNRESET, ETIMEDOUT
        self._sender = Sender(config, iss & MASK)
        self._receiver = Receiver(config.receive_buffer_bytes)
        self._emitter = Emitter(ports, self._sender, self._receiver, config.host.mib)
        self._acceptance = Acceptance(self._emitter, self._receiver, config.host, now)
        self._opening: Opening | None = Opening(config, now)
        self.received: deque[Payload] = self._receiver.received
        self._replies: list[Segment] = []  # resets and the like, whose numbers a later state could not tell
        self._deadline = now + self._opening.wait_s(self._sender.rtt.rto, now)  # of it, later of FIN_WAIT_2
        self._keepalive: KeepaliveTimer | None = None
        self._closed = False  # nobody will read any more
        self._unwanted = False  # SHUT_RD: data that comes when we have finished resets the connection
        self.time_wait: TimeWait | None = None

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment of this connection and own its payload. Checksums and ports are the caller's."""
        header = segment.header
        receiver = self._receiver
        emitter = self._emitter
        nxt = receiver.rcv_nxt
        payload = segment.payload
        length = 0
        if payload is None:
            receiver.segs_in += 1
        else:
            length = len(payload)
            packets = -(-length // segment.mss) if segment.mss else 1
            receiver.segs_in += packets
            receiver.data_segs_in += packets
            receiver.data_at = now
        # Header prediction: the next segment of a healthy connection decides nothing but its data and ACK.
        if (
            self.state is _ESTABLISHED
            and header.flags & _ORDINARY == ACK
            and header.seq == nxt & MASK
            and not receiver.reassembly
            and receiver.fin_at is None
            and not header.sack
            and segment.ecn != CE
            and not receiver.ece
            and (
                not emitter.timestamps
                or (header.ts_val is not None and header.ts_val - emitter.ts_recent & MASK < HALF)
            )
        ):
            sender = self._sender
            una = sender.snd_una
            ack = una + ((header.ack - una + HALF) & MASK) - HALF
            if una <= ack <= sender.snd_nxt and length <= receiver.rcv_adv - nxt:
                if header.ts_val is not None and receiver.acked == nxt:
                    emitter.ts_recent = header.ts_val
                self._acceptance.heard_at = now
                window = header.window << sender.snd_shift
                if payload is None:
                    self._pure_ack(header, ack, nxt, window, now)
                    return
                if ack != una or window != sender.snd_wnd:
                    sender.acknowledge(ack, nxt, window, header.ts_ecr, now)
                receiver.deliver(payload, length, now)
                return
        if self.state is State.SYN_SENT:
            self._receive_syn_sent(segment, now)
        elif self.time_wait is not None:
            self.time_wait.receive_segment(segment, now)
            if self.time_wait.state is State.CLOSED:
                self._end(0)
        elif self.state is State.CLOSED:
            segment.drop()
        else:
            self._receive_any(segment, now)

    def _pure_ack(self, header: TcpHeader, ack: int, seq: int, window: int, now: float) -> None:
        sender = self._sender
        if ack == sender.snd_una and window == sender.snd_wnd:
            sender.duplicate_ack(now)
        sender.acknowledge(ack, seq, window, header.ts_ecr, now)

    def _receive_syn_sent(self, segment: Segment, now: float) -> None:
        """RFC 9293 section 3.10.7.3."""
        header, flags = segment.header, segment.header.flags
        segment.drop()  # data beside a SYN comes again; nobody has agreed to take it
        sender = self._sender
        acknowledged = bool(flags & ACK) and header.ack == sender.snd_nxt & MASK
        if flags & ACK and not acknowledged:
            self._reset(segment)
        elif flags & RST:
            if acknowledged:
                self._end(errno.ECONNREFUSED)
        elif flags & SYN:
            opening = self._synchronize(segment)
            if acknowledged:
                self._fire(Event.SYN_ACK, now)
                self._establish(header.window, now)
                self._receiver.ack_due = True
            else:
                self._fire(Event.SYN, now)
                opening.due = True

    def _receive_any(self, segment: Segment, now: float) -> None:
        """RFC 9293 section 3.10.7.4, in its order."""
        header, receiver = segment.header, self._receiver
        flags = header.flags
        seq = unwrap(header.seq, receiver.rcv_nxt)
        if flags & SYN and self.state is State.SYN_RECEIVED and seq == receiver.rcv_nxt - 1:
            if not flags & ACK:
                receiver.ack_due = True  # the peer did not hear our SYN-ACK
                segment.drop()
                return
            seq, flags = seq + 1, flags & ~SYN  # simultaneous open: its SYN again, and the ACK of ours
        if not self._acceptance.accepts(segment, seq, flags, now):
            segment.drop()
        elif flags & RST:
            self._on_reset(seq, now)
            segment.drop()
        elif flags & SYN:
            self._config.host.mib.TcpExtTCPSYNChallenge += 1
            self._acceptance.challenge(now)
            segment.drop()
        elif not flags & ACK or not self._on_ack(segment, seq, now):
            segment.drop()
        else:
            self._on_text(segment, seq, flags, now)

    def _on_reset(self, seq: int, now: float) -> None:
        """RFC 5961 section 3.2: exactly the next number, or prove it."""
        if seq == self._receiver.rcv_nxt:
            self._end(errno.EPIPE if self.state is State.CLOSE_WAIT else errno.ECONNRESET)
        else:
            self._acceptance.challenge(now)

    def _on_ack(self, segment: Segment, seq: int, now: float) -> bool:
        """RFC 9293 section 3.10.7.4, fifth; whether the segment's text may be looked at."""
        header, sender = segment.header, self._sender
        ack = unwrap(header.ack, sender.snd_una)
        if self.state is State.SYN_RECEIVED:
            if ack != sender.snd_nxt:
                self._reset(Segment(header))
                return False
            self._fire(Event.ACK_OF_SYN, now)
            self._config.host.mib.TcpPassiveOpens += 1
            self._establish(header.window << sender.snd_shift, now)
        if ack > sender.snd_nxt or ack < sender.snd_una - max(sender.max_wnd, 65535):
            self._acceptance.challenge(now)
            return False
        before = sender.snd_una
        if ack >= before:
            window = header.window << sender.snd_shift
            if segment.payload is None and not header.flags & FIN:
                self._pure_ack(header, ack, seq, window, now)
            else:
                sender.acknowledge(ack, seq, window, header.ts_ecr, now)
        if header.sack and sender.sack_permitted:
            sender.sacked(header.sack, ack, now)
        if self._emitter.ecn:
            sender.echoed(max(0, ack - before), bool(header.flags & ECE), now)
        if sender.fin_acked and self.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK):
            self._fire(Event.ACK_OF_FIN, now)
        return self.state is not State.CLOSED

    def _on_text(self, segment: Segment, seq: int, flags: int, now: float) -> None:
        """Sixth to eighth: payload and FIN. Urgent data is data like any other (RFC 6093)."""
        payload, receiver = segment.payload, self._receiver
        if payload is not None:
            end = seq + len(payload)
            if end > receiver.rcv_nxt and (self._closed or (self._unwanted and self.state in FINISHING)):
                payload.release()
                self._refuse_text(now)
                return
            if self._emitter.ecn and receiver.marked(
                segment.ecn == CE, bool(flags & CWR), self._emitter.all_ect
            ):
                receiver.ece = not receiver.ece
                self._replies.append(self._emitter.ack(now))
                receiver.ece = not receiver.ece
            receiver.receive(seq, payload, now)
            fin_is_next = receiver.finish()
        else:
            end, fin_is_next = seq, False
        if flags & FIN and end <= receiver.rcv_adv:
            fin_is_next = receiver.receive_fin(end) or fin_is_next
        if fin_is_next:
            self._fire(Event.FIN, now)

    def _refuse_text(self, now: float) -> None:
        """Nobody is going to read it (RFC 1122 section 4.2.2.13)."""
        self._config.host.mib.TcpExtTCPAbortOnData += 1
        if self._closed:
            self.abort(now)
        else:
            self._replies.append(self._emitter.reset(now))
            self._end(errno.ECONNRESET)

    def _reset(self, segment: Segment) -> None:
        reset = reset_for(segment)
        if reset is not None:
            self._config.host.mib.TcpOutRsts += 1
            self._replies.append(reset)

    # --- state ------------------------------------------------------------------------------------

    def _synchronize(self, segment: Segment) -> Opening:
        """Learn from the peer's SYN."""
        opening, header = self._opening, segment.header
        assert opening is not None
        agreed = opening.hear(segment)
        self._receiver.synchronize(header.seq)
        self._sender.snd_shift = agreed.snd_shift
        self._emitter.timestamps = agreed.timestamps
        self._emitter.ts_recent = header.ts_val or 0
        return opening

    def _establish(self, window: int, now: float) -> None:
        opening, sender = self._opening, self._sender
        self.established = True
        assert opening is not None
        assert opening.agreement is not None
        assert opening.peer is not None
        agreed = opening.agreement
        sender.mss_clamp = agreed.peer_mss
        sender.begin(agreed.mss, agreed.sack, window, unwrap(opening.peer.seq, self._receiver.rcv_nxt))
        self._receiver.begin(agreed.mss, agreed.rcv_shift)
        self._emitter.ecn = agreed.ecn
        self._emitter.all_ect = agreed.ecn and self._config.congestion == "dctcp"
        if not opening.retries:
            sender.rtt.sample(now - opening.began_at)
        elif opening.retries > 1:
            sender.control.cwnd = agreed.mss  # RFC 5681 section 3.1: the path loses even SYNs
        self._opening = None
        self._receiver.ack_due = False
        self._deadline = inf
        self.set_keepalive(self._config.keepalive)
        if sender.fin_queued:
            self._fire(Event.CLOSE, now)

    def set_keepalive(self, options: Keepalive | None) -> None:
        """SO_KEEPALIVE on a living connection, or off with None."""
        self._keepalive = None
        if self.state in OPENING:
            self._config = replace(self._config, keepalive=options)
        if options is not None and self.state in SYNCHRONIZED:
            self._keepalive = KeepaliveTimer(options, self._acceptance.heard_at)

    def _fire(self, event: Event, now: float) -> None:
        self._enter(after(self.state, event))
        if self.state is State.TIME_WAIT:
            self._sender.clear()
            emitter, receiver = self._emitter, self._receiver
            remains = Remains(
                emitter.ports, self._sender.snd_nxt & MASK, receiver.rcv_nxt & MASK, receiver.window(),
                emitter.ts_recent if emitter.timestamps else None,
            )  # fmt: skip
            self.time_wait = TimeWait(remains, self._config.host, now)
            self._keepalive = None
        elif self.state is State.FIN_WAIT_2 and self._closed:
            self._deadline = now + FIN_WAIT_2_S
        elif self.state is State.CLOSED:
            self._clear()

    def _enter(self, state: State) -> None:
        """The state changes; the host's counters say so (tcp_set_state)."""
        mib, before = self._config.host.mib, self.state
        self.state = state
        mib.TcpCurrEstab += (state in CONNECTED) - (before in CONNECTED)
        if state is State.CLOSED:
            mib.TcpEstabResets += before in CONNECTED
            mib.TcpAttemptFails += before in OPENING

    def abort(self, now: float) -> None:
        """RST to the peer where it is owed (RFC 9293 section 3.10.5); all is released, `received` too."""
        if self.state in RESET_ON_ABORT:
            self._replies.append(self._emitter.reset(now))
        self._end(0)
        self._release_received()

    def _end(self, error: int) -> None:
        if self.state is not State.CLOSED:
            self._enter(after(self.state, Event.END))
            self.error = error
            self._clear()

    def _clear(self) -> None:
        self._sender.clear()
        self._receiver.clear()
        self._deadline = inf
        self._opening = self._keepalive = self.time_wait = None

    def _release_received(self) -> None:
        while self.received:
            self.received.popleft().release()


def reset_for(segment: Segment) -> Segment | None:
    """The RST that a segment without a connection earns (RFC 9293 section 3.10.7.1); None for a RST.

    The segment's payload stays the caller's to release.
    """
    header = segment.header
    if header.flags & RST:
        return None
    if header.flags & ACK:
        return Segment(TcpHeader(header.dst_port, header.src_port, header.ack, 0, RST, 0))
    ack = header.seq + segment.length & MASK
    return Segment(TcpHeader(header.dst_port, header.src_port, 0, ack, RST | ACK, 0))
