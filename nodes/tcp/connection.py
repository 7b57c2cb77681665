"""Segments and the application's wishes in, segments and payload in order out. Owns one connection.

RFC 9293 section 3.10, RFC 7323 (PAWS), RFC 5961 (challenge ACK); net/ipv4/tcp_input.c tcp_rcv_established,
tcp_rcv_state_process, net/ipv4/tcp_minisocks.c. This file decides what a segment means in a state; what
follows for data is `sender`'s and `receiver`'s. No clock: every verb is told `now`, monotonic seconds.
"""

from __future__ import annotations

import errno
from collections import deque
from math import inf

from nodes.tcp.config import TcpConfig
from nodes.tcp.handshake import Agreement, agree, offer
from nodes.tcp.info import TcpInfo, tcp_info
from nodes.tcp.receiver import Receiver
from nodes.tcp.sack import Record
from nodes.tcp.segment import Payload, Segment
from nodes.tcp.sender import Sender, stamp
from nodes.tcp.seq import HALF, MASK, precedes, unwrap
from nodes.tcp.state import RESET_ON_ABORT, Event, State, after
from nodes.wire.tcp import ACK, FIN, MAX_SACK_BLOCKS, PSH, RST, SYN, TcpHeader

__all__ = ["Connection", "State", "TcpConfig", "TcpInfo", "reset_for"]

TIME_WAIT_S = 60.0
FIN_WAIT_2_S = 60.0  # for a peer that does not close, once nobody here could read what it sends
SYN_RETRIES = 6  # tcp_syn_retries
SYN_ACK_RETRIES = 5
_CHALLENGE_EVERY_S = 0.5  # tcp_invalid_ratelimit: two confused ends must not answer each other for ever
_PROBE_ANSWER_EVERY_S = 0.1  # probes come at least 200 ms apart, and a stall hangs on the answer
_PAWS_IDLE_S = 24 * 86400.0  # after so long without a word the timestamp clock may have wrapped
_ORDINARY = FIN | SYN | RST | ACK  # flags that decide the way through receive_segment
_ESTABLISHED = State.ESTABLISHED
_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
_WINDOW_SYN = 65535


class Connection:
    """One TCP connection without a socket, a clock or a wire.

    `received` holds what the application may take; it then owns it and reports what it used by `consumed`.
    After every batch of segments, calls or timeouts the owner calls `segments_to_send`.
    """

    __slots__ = (
        "_agreement", "_answered_at", "_closed", "_config", "_deadline", "_heard_at", "_peer", "_ports",
        "_receiver", "_replies", "_segs_in", "_segs_out", "_sender", "_snd_shift", "_syn_due", "_syn_retries",
        "_syn_sent_at", "_timestamps", "_ts_recent", "error", "received", "state",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, ports: tuple[int, int], iss: int, state: State, now: float) -> None:
        """Use `connect` or `accept`."""
        self._config = config
        self._ports = ports  # local, remote
        self.state = state
        self.error = 0  # errno of a dead connection: ECONNREFUSED, ECONNRESET, ETIMEDOUT
        self._sender = Sender(config, iss & MASK)
        self._receiver = Receiver(config.receive_buffer_bytes)
        self.received: deque[Payload] = self._receiver.received
        self._replies: list[Segment] = []  # resets and the like, whose numbers a later state could not tell
        self._peer: TcpHeader | None = None  # the peer's SYN
        self._agreement: Agreement | None = None
        self._timestamps = False
        self._ts_recent = 0
        self._snd_shift = 0
        self._syn_due = True
        self._syn_retries = 0
        self._syn_sent_at = now
        self._deadline = now + self._sender.rtt.rto  # of the handshake, later of FIN_WAIT_2 or TIME_WAIT
        self._closed = False  # nobody will read any more
        self._answered_at = -inf
        self._heard_at = now
        self._segs_in = self._segs_out = 0

    @classmethod
    def connect(
        cls, config: TcpConfig, local_port: int, remote_port: int, iss: int, now: float
    ) -> Connection:
        """Active open (RFC 9293 section 3.10.1): a SYN is ready to be sent. `iss` as RFC 6528 has it."""
        return cls(config, (local_port, remote_port), iss, State.SYN_SENT, now)

    @classmethod
    def accept(cls, config: TcpConfig, syn: Segment, iss: int, now: float) -> Connection:
        """Passive open by a SYN that reached a listener: a SYN-ACK is ready. Releases the SYN's payload."""
        header = syn.header
        connection = cls(config, (header.dst_port, header.src_port), iss, State.SYN_RECEIVED, now)
        connection._synchronize(header)
        _drop(syn)
        return connection

    # --- the application's side -------------------------------------------------------------------

    @property
    def fin_received(self) -> bool:
        """Whether the peer has finished and all it sent is in `received`."""
        return self._receiver.fin_received

    @property
    def bytes_acked(self) -> int:
        """Payload bytes the peer has acknowledged since the start."""
        return self._sender.bytes_acked

    @property
    def send_room(self) -> int:
        """Bytes that still fit in the send buffer."""
        sender = self._sender
        return max(0, self._config.send_buffer_bytes - sender.accepted_bytes + sender.bytes_acked)

    def send(self, payload: Payload, now: float) -> None:  # noqa: ARG002
        """Queue `payload` and own it; the caller looked at send_room. Released at once if the peer is gone.

        Raises BrokenPipeError after shutdown, as send(2) does; the payload is then released.
        """
        if self.state is State.CLOSED or self._sender.fin_queued:
            payload.release()
            if self._sender.fin_queued:
                raise BrokenPipeError(
                    errno.EPIPE, f"port {self._ports[0]} was shut down for sending: send before shutdown"
                )
            return
        self._sender.accepted_bytes += len(payload)
        self._sender.queue.append(payload)

    def consumed(self, count: int, now: float) -> None:  # noqa: ARG002
        """The application took `count` bytes out of the receive buffer: the window may open."""
        if self.state is not State.CLOSED:
            self._receiver.consumed(count)

    def set_nodelay(self, nodelay: bool) -> None:
        """TCP_NODELAY on a living connection: what Nagle held back goes with the next segments_to_send."""
        self._sender.nodelay = nodelay

    def shutdown(self, now: float) -> None:
        """Send a FIN after what is queued (shutdown(2) with SHUT_WR). In SYN_SENT the attempt ends."""
        if self.state is State.SYN_SENT:
            self._end(0)
        elif self.state is not State.CLOSED and not self._sender.fin_queued:
            self._sender.fin_queued = True
            if self.state is not State.SYN_RECEIVED:
                self._fire(Event.CLOSE, now)

    def close(self, now: float) -> None:
        """The application is gone: shutdown, and nothing that arrives can be read any more.

        As in Linux, unread data turns it into an abort (RFC 2525 section 2.17), data that arrives later is
        answered with RST, and FIN_WAIT_2 lasts 60 s.
        """
        self._closed = True
        if self._receiver.unread and not self._receiver.fin_received:
            self.abort(now)
            return
        self._release_received()
        self.shutdown(now)
        if self.state is State.FIN_WAIT_2:
            self._deadline = now + FIN_WAIT_2_S

    def abort(self, now: float) -> None:
        """RST to the peer where it is owed (RFC 9293 section 3.10.5); all is released, `received` too."""
        if self.state in RESET_ON_ABORT:
            self._replies.append(Segment(self._header(self._sender.snd_nxt, RST | ACK, 0, now)))
        self._end(0)
        self._release_received()

    def _release_received(self) -> None:
        while self.received:
            self.received.popleft().release()

    # --- segments in ------------------------------------------------------------------------------

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment of this connection and own its payload. Checksums and ports are the caller's."""
        header = segment.header
        receiver = self._receiver
        nxt = receiver.rcv_nxt
        self._segs_in += 1
        # Header prediction: the next segment of a healthy connection decides nothing but its data and ACK.
        if (
            self.state is _ESTABLISHED
            and header.flags & _ORDINARY == ACK
            and header.seq == nxt & MASK
            and not receiver.reassembly
            and receiver.fin_at is None
            and not header.sack
            and (
                not self._timestamps
                or (header.ts_val is not None and header.ts_val - self._ts_recent & MASK < HALF)
            )
        ):
            sender, payload = self._sender, segment.payload
            una = sender.snd_una
            ack = una + ((header.ack - una + HALF) & MASK) - HALF
            length = 0 if payload is None else len(payload)
            if una <= ack <= sender.snd_nxt and length <= receiver.rcv_adv - nxt:
                if header.ts_val is not None and receiver.acked == nxt:
                    self._ts_recent = header.ts_val
                self._heard_at = now
                window = header.window << self._snd_shift
                if payload is None:
                    self._pure_ack(header, ack, nxt, window, now)
                    return
                if ack != una or window != sender.snd_wnd:
                    sender.acknowledge(ack, nxt, window, header.ts_ecr, now)
                receiver.deliver(payload, length, now)
                return
        if self.state is State.SYN_SENT:
            self._receive_syn_sent(segment, now)
        elif self.state is State.CLOSED:
            _drop(segment)
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
        _drop(segment)  # data beside a SYN comes again; nobody has agreed to take it
        sender = self._sender
        acknowledged = bool(flags & ACK) and header.ack == sender.snd_nxt & MASK
        if flags & ACK and not acknowledged:
            self._reply(reset_for(segment))
        elif flags & RST:
            if acknowledged:
                self._end(errno.ECONNREFUSED)
        elif flags & SYN:
            self._synchronize(header)
            if acknowledged:
                self._fire(Event.SYN_ACK, now)
                self._establish(header.window, now)
                self._receiver.ack_due = True
            else:
                self._fire(Event.SYN, now)
                self._syn_due = True

    def _receive_any(self, segment: Segment, now: float) -> None:
        """RFC 9293 section 3.10.7.4, in its order."""
        header, receiver = segment.header, self._receiver
        flags = header.flags
        seq = unwrap(header.seq, receiver.rcv_nxt)
        if flags & SYN and self.state is State.SYN_RECEIVED and seq == receiver.rcv_nxt - 1:
            if not flags & ACK:
                self._syn_due = True  # the peer did not hear our SYN-ACK
                _drop(segment)
                return
            seq, flags = seq + 1, flags & ~SYN  # simultaneous open: its SYN again, and the ACK of ours
        if not self._acceptable(segment, seq, flags, now):
            _drop(segment)
        elif flags & RST:
            self._on_reset(seq, now)
            _drop(segment)
        elif flags & SYN:
            self._challenge(now)
            _drop(segment)
        elif not flags & ACK or not self._on_ack(header, seq, segment.payload is None, now):
            _drop(segment)
        else:
            self._on_text(segment, seq, flags, now)

    def _acceptable(self, segment: Segment, seq: int, flags: int, now: float) -> bool:
        """The timestamp test (RFC 7323 section 5.3) and the window test; answers what fails them."""
        header, receiver = segment.header, self._receiver
        payload = segment.payload
        length = (0 if payload is None else len(payload)) + (flags & FIN)
        if self._timestamps and header.ts_val is not None and not flags & RST:
            if precedes(header.ts_val, self._ts_recent) and now - self._heard_at < _PAWS_IDLE_S:
                if length:  # a bare ACK that was overtaken says nothing new: no answer
                    self._challenge(now, _PROBE_ANSWER_EVERY_S)
                return False
            if seq <= receiver.acked and seq + length >= receiver.acked:
                self._ts_recent = header.ts_val
        nxt = receiver.rcv_nxt
        if length == 0:
            if nxt <= seq <= max(nxt, receiver.rcv_adv):
                self._heard_at = now
                return True
            if not flags & RST:
                probe = seq == nxt - 1  # a window probe or keepalive: someone waits for the answer
                self._challenge(now, _PROBE_ANSWER_EVERY_S if probe else _CHALLENGE_EVERY_S)
            return False
        if seq + length > nxt and (seq < receiver.rcv_adv or seq == nxt):
            self._heard_at = now
            return True
        if flags & RST:
            return False
        if flags & FIN and self.state is State.TIME_WAIT:
            self._deadline = now + TIME_WAIT_S
        if seq < nxt and payload is not None:
            receiver.duplicate = (seq, min(nxt, seq + len(payload)))
        receiver.ack_due = True
        return False

    def _challenge(self, now: float, every: float = _CHALLENGE_EVERY_S) -> None:
        """An ACK that says where we stand, not too often (RFC 5961 section 7)."""
        if now - self._answered_at >= every:
            self._answered_at = now
            if self.state is State.SYN_RECEIVED:
                self._syn_due = True
            self._receiver.ack_due = True

    def _on_reset(self, seq: int, now: float) -> None:
        """RFC 5961 section 3.2: exactly the next number, or prove it."""
        if seq != self._receiver.rcv_nxt:
            self._challenge(now)
        elif self.state is State.TIME_WAIT:
            self._end(0)
        else:
            self._end(errno.ECONNRESET)

    def _on_ack(self, header: TcpHeader, seq: int, bare: bool, now: float) -> bool:
        """RFC 9293 section 3.10.7.4, fifth; whether the segment's text may be looked at."""
        sender = self._sender
        ack = unwrap(header.ack, sender.snd_una)
        if self.state is State.SYN_RECEIVED:
            if ack != sender.snd_nxt:
                self._reply(reset_for(Segment(header)))
                return False
            self._fire(Event.ACK_OF_SYN, now)
            self._establish(header.window << self._snd_shift, now)
        if ack > sender.snd_nxt or ack < sender.snd_una - max(sender.max_wnd, 65535):
            self._challenge(now)
            return False
        if ack >= sender.snd_una:
            window = header.window << self._snd_shift
            if bare:
                self._pure_ack(header, ack, seq, window, now)
            else:
                sender.acknowledge(ack, seq, window, header.ts_ecr, now)
        if header.sack and sender.sack_permitted:
            sender.sacked(header.sack, ack, now)
        if sender.fin_acked and self.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK):
            self._fire(Event.ACK_OF_FIN, now)
        return self.state is not State.CLOSED

    def _on_text(self, segment: Segment, seq: int, flags: int, now: float) -> None:
        """Sixth to eighth: payload and FIN."""
        payload, receiver = segment.payload, self._receiver
        if payload is not None:
            end = seq + len(payload)
            if self._closed and end > receiver.rcv_nxt:
                payload.release()
                self.abort(now)
                return
            receiver.receive(seq, payload, now)
            fin_is_next = receiver.finish()
        else:
            end, fin_is_next = seq, False
        if flags & FIN and end <= receiver.rcv_adv:
            fin_is_next = receiver.receive_fin(end) or fin_is_next
        if fin_is_next:
            self._fire(Event.FIN, now)

    # --- state ------------------------------------------------------------------------------------

    def _synchronize(self, header: TcpHeader) -> None:
        """Learn from the peer's SYN."""
        self._peer = header
        self._agreement = agree(self._config, header)
        self._receiver.synchronize(header.seq)
        self._timestamps = self._agreement.timestamps
        self._ts_recent = header.ts_val or 0

    def _establish(self, window: int, now: float) -> None:
        assert self._agreement is not None
        assert self._peer is not None
        agreed, sender = self._agreement, self._sender
        self._snd_shift = agreed.snd_shift
        sender.begin(agreed.mss, agreed.sack, window, unwrap(self._peer.seq, self._receiver.rcv_nxt))
        self._receiver.begin(agreed.mss, agreed.rcv_shift)
        if not self._syn_retries:
            sender.rtt.sample(now - self._syn_sent_at)
        elif self._syn_retries > 1:
            sender.control.cwnd = agreed.mss  # RFC 5681 section 3.1: the path loses even SYNs
        self._syn_due = False
        self._deadline = inf
        if sender.fin_queued:
            self._fire(Event.CLOSE, now)

    def _fire(self, event: Event, now: float) -> None:
        self.state = after(self.state, event)
        if self.state is State.TIME_WAIT:
            self._deadline = now + TIME_WAIT_S
            self._sender.clear()
        elif self.state is State.FIN_WAIT_2 and self._closed:
            self._deadline = now + FIN_WAIT_2_S
        elif self.state is State.CLOSED:
            self._clear()

    def _end(self, error: int) -> None:
        if self.state is not State.CLOSED:
            self.state = after(self.state, Event.END)
            self.error = error
            self._clear()

    def _clear(self) -> None:
        self._sender.clear()
        self._receiver.clear()
        self._deadline = inf
        self._syn_due = False

    # --- time -------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When handle_timeout should be called, or None. Look at arrived segments first: a late timer is
        harmless, a timer that overtakes a waiting ACK is a needless retransmission."""
        at = self._sender.next_timeout()
        if self._receiver.ack_at < at:
            at = self._receiver.ack_at
        if self._deadline < at:
            at = self._deadline
        return None if at == inf else at

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that has passed; what is due is then in segments_to_send."""
        if self._deadline <= now:
            self._deadline = inf
            if self.state in _OPENING:
                self._repeat_syn(now)
            else:
                self._end(0)
        if self._receiver.ack_at <= now:
            self._receiver.ack_due = True
            self._receiver.ack_at = inf
        if not self._sender.handle_timeout(now):
            self._end(errno.ETIMEDOUT)

    def _repeat_syn(self, now: float) -> None:
        most = SYN_RETRIES if self.state is State.SYN_SENT else SYN_ACK_RETRIES
        if self._syn_retries >= most:
            self._end(errno.ETIMEDOUT)
            return
        self._syn_retries += 1
        self._syn_due = True
        self._deadline = now + self._sender.rtt.rto * (1 << self._syn_retries)

    # --- segments out -----------------------------------------------------------------------------

    def segments_to_send(self, now: float, limit: int = 64) -> list[Segment]:
        """At most `limit` segments of data and what else is due; each owns its payload references."""
        out, self._replies = self._replies, []
        state = self.state
        if state is State.CLOSED or state in _OPENING:
            if self._syn_due:
                self._syn_due = False
                out.append(self._syn(now))
        else:
            self._transmit(now, limit, out)
        self._segs_out += len(out)
        return out

    def _transmit(self, now: float, limit: int, out: list[Segment]) -> None:
        sender, receiver = self._sender, self._receiver
        if receiver.ack_due and (receiver.duplicate is not None or receiver.reassembly):
            out.append(self._ack(now))  # SACK goes alone: beside data it would change the size of segments
        records = sender.transmit(now, limit)
        if records:
            window = receiver.window()
            out += [self._data(record, window, now) for record in records]
            receiver.ack_sent()
        elif receiver.ack_due:
            out.append(self._ack(now))
        if sender.probe_due:
            sender.probe_due = False
            out.append(Segment(self._header(sender.snd_una - 1, ACK, receiver.window(), now)))

    def _header(self, seq: int, flags: int, window: int, now: float) -> TcpHeader:
        ports = self._ports
        nxt = self._receiver.rcv_nxt & MASK
        if not self._timestamps:
            return TcpHeader(ports[0], ports[1], seq & MASK, nxt, flags, window)
        return TcpHeader(
            ports[0], ports[1], seq & MASK, nxt, flags, window,
            0, None, None, False, stamp(now), self._ts_recent,
        )  # fmt: skip

    def _data(self, record: Record, window: int, now: float) -> Segment:
        sender = self._sender
        flags = ACK
        if record.end == sender.snd_nxt and not sender.queue.bytes:
            flags = ACK | PSH | FIN if record.fin else ACK | PSH
        elif record.fin:
            flags = ACK | FIN
        mss = sender.mss if record.end - record.fin - record.seq > sender.mss else 0
        return Segment(self._header(record.seq, flags, window, now), record.copy(), mss)

    def _ack(self, now: float) -> Segment:
        sender, receiver = self._sender, self._receiver
        # Beyond a window that shrank, the peer would not accept even an ACK (tcp_acceptable_seq).
        seq = min(sender.snd_nxt, sender.snd_una + sender.snd_wnd)
        header = self._header(seq, ACK, receiver.window(), now)
        if sender.sack_permitted and (receiver.duplicate is not None or receiver.reassembly):
            blocks = receiver.sack_blocks(MAX_SACK_BLOCKS - self._timestamps)
            header.sack = tuple((left & MASK, right & MASK) for left, right in blocks)
        receiver.ack_sent()
        return Segment(header)

    def _syn(self, now: float) -> Segment:
        sender = self._sender
        header = TcpHeader(self._ports[0], self._ports[1], sender.snd_una & MASK, 0, SYN, _WINDOW_SYN)
        if self._peer is not None:
            header.flags = SYN | ACK
            header.ack = self._receiver.rcv_nxt & MASK
        offer(header, self._config, self._peer, stamp(now), self._ts_recent)
        if not self._syn_retries:
            self._syn_sent_at = now
        return Segment(header)

    def _reply(self, segment: Segment | None) -> None:
        if segment is not None:
            self._replies.append(segment)

    # --- a look at it -----------------------------------------------------------------------------

    def info(self) -> TcpInfo:
        """What TCP_INFO tells."""
        segments = (self._segs_in, self._segs_out)
        return tcp_info(self.state, self._sender, self._receiver, self._snd_shift, segments)


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


def _drop(segment: Segment) -> None:
    if segment.payload is not None:
        segment.payload.release()
        segment.payload = None
