"""Segments and the application's wishes in, segments and payload in order out. Owns one connection.

RFC 9293 section 3.10; net/ipv4/tcp_input.c tcp_rcv_established, tcp_rcv_state_process. This file decides what
a segment means in a state. Whether it may be looked at is `acceptance`'s, what follows for data `sender`'s
and `receiver`'s, what leaves `emission`'s. No clock: every verb is told `now`, monotonic seconds.
"""

from __future__ import annotations

import errno
from collections import deque
from math import inf

from nodes.tcp.acceptance import Acceptance
from nodes.tcp.config import TcpConfig
from nodes.tcp.emission import Emitter
from nodes.tcp.handshake import TIMESTAMP_BYTES
from nodes.tcp.info import TcpInfo, tcp_info
from nodes.tcp.keepalive import Keepalive, KeepaliveTimer, Verdict
from nodes.tcp.opening import Opening
from nodes.tcp.receiver import Receiver
from nodes.tcp.segment import CE, Payload, Segment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import HALF, MASK, unwrap
from nodes.tcp.state import CONNECTED, RESET_ON_ABORT, SYNCHRONIZED, Event, State, after
from nodes.tcp.time_wait import Remains, TimeWait
from nodes.wire.tcp import ACK, CWR, ECE, FIN, HEADER_BYTES, RST, SYN, TcpHeader

__all__ = ["Connection", "State", "TcpConfig", "TcpInfo", "reset_for"]

FIN_WAIT_2_S = 60.0  # for a peer that does not close, once nobody here could read what it sends
_ORDINARY = FIN | SYN | RST | ACK | ECE | CWR  # flags that decide the way through receive_segment
_ESTABLISHED = State.ESTABLISHED
_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)


class Connection:
    """One TCP connection without a socket, a clock or a wire.

    `received` holds what the application may take; it then owns it and reports what it used by `consumed`.
    After every batch of segments, calls or timeouts the owner calls `segments_to_send`. Once `time_wait` is
    there and nothing is left to send, the owner may keep that instead of the connection.
    """

    __slots__ = (
        "_acceptance", "_closed", "_config", "_deadline", "_emitter", "_keepalive", "_opening", "_receiver",
        "_replies", "_sender", "error", "received", "state", "time_wait",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, ports: tuple[int, int], iss: int, state: State, now: float) -> None:
        """Use `connect` or `accept`. `ports`: local, remote."""
        self._config = config
        self.state = state
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
        self.time_wait: TimeWait | None = None

    @classmethod
    def connect(
        cls, config: TcpConfig, local_port: int, remote_port: int, iss: int, now: float
    ) -> Connection:
        """Active open (RFC 9293 section 3.10.1): a SYN is ready to be sent. `iss` as RFC 6528 has it."""
        config.host.mib.TcpActiveOpens += 1
        return cls(config, (local_port, remote_port), iss, State.SYN_SENT, now)

    @classmethod
    def accept(cls, config: TcpConfig, syn: Segment, iss: int, now: float) -> Connection:
        """Passive open by a SYN that reached a listener: a SYN-ACK is ready. Releases the SYN's payload."""
        header = syn.header
        connection = cls(config, (header.dst_port, header.src_port), iss, State.SYN_RECEIVED, now)
        connection._synchronize(syn)
        _drop(syn)
        return connection

    @classmethod
    def from_cookie(cls, config: TcpConfig, syn: TcpHeader, iss: int, now: float) -> Connection:
        """Passive open whose SYN-ACK nobody remembers (`syncookie`): `receive_segment` its ACK next."""
        connection = cls.accept(config, Segment(syn), iss, now)
        opening = connection._opening
        assert opening is not None
        opening.due = False
        opening.retries = 1  # when the SYN-ACK left is not known: no round trip is measured
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
    def unsent_bytes(self) -> int:
        """Payload bytes that are queued and were never sent."""
        return self._sender.queue.bytes

    @property
    def send_room(self) -> int:
        """Bytes that still fit in the send buffer."""
        sender = self._sender
        return max(0, self._config.send_buffer_bytes - sender.accepted_bytes + sender.bytes_acked)

    def send(self, payload: Payload, now: float) -> None:  # noqa: ARG002
        """Queue `payload` and own it; the caller looked at send_room. Released at once if the peer is gone.

        Raises BrokenPipeError after shutdown, as send(2) does; the payload is then released.
        """
        sender = self._sender
        if self.state is State.CLOSED or sender.fin_queued:
            payload.release()
            if sender.fin_queued:
                port = self._emitter.ports[0]
                raise BrokenPipeError(
                    errno.EPIPE, f"port {port} was shut down for sending: send before shutdown"
                )
            return
        sender.accepted_bytes += len(payload)
        sender.queue.append(payload)

    def consumed(self, count: int, now: float) -> None:  # noqa: ARG002
        """The application took `count` bytes out of the receive buffer: the window may open."""
        if self.state is not State.CLOSED:
            self._receiver.consumed(count)

    def set_nodelay(self, nodelay: bool) -> None:
        """TCP_NODELAY on a living connection: what Nagle held back goes with the next segments_to_send."""
        self._sender.nodelay = nodelay

    def set_cork(self, cork: bool) -> None:
        """TCP_CORK: while set, only full segments leave, or what has waited for 200 ms."""
        self._sender.cork = cork
        if not cork:
            self._sender.push_out()

    def set_user_timeout(self, seconds: float) -> None:
        """TCP_USER_TIMEOUT: how long data may go unacknowledged; 0: as tcp_retries2 has it."""
        self._sender.user_timeout_s = seconds

    def set_keepalive(self, options: Keepalive | None) -> None:
        """SO_KEEPALIVE on a living connection, or off with None."""
        self._keepalive = None
        if options is not None and self.state in SYNCHRONIZED:
            self._keepalive = KeepaliveTimer(options, self._acceptance.heard_at)

    def path_mtu(self, mtu: int, quoted_seq: int, now: float) -> bool:
        """A router says that `mtu` bytes is all it can forward, quoting our segment at `quoted_seq`.

        Believed only if those bytes are in flight (RFC 5927 section 4); returns whether it was.
        """
        if self.state not in SYNCHRONIZED:
            return False
        options = TIMESTAMP_BYTES if self._emitter.timestamps else 0
        mss = mtu - self._config.ip_header_bytes - HEADER_BYTES - options
        return self._sender.path_mtu(mss, unwrap(quoted_seq, self._sender.snd_una), now)

    def undeliverable(self, number: int, quoted_seq: int) -> bool:
        """A router or the peer says that our segment at `quoted_seq` cannot be delivered: an attempt to
        connect ends with errno `number`, a connection goes on (RFC 5461). Believed only if that is in flight
        (RFC 5927 section 4); returns whether it was."""
        seq = unwrap(quoted_seq, self._sender.snd_una)
        if not self._sender.snd_una <= seq < self._sender.snd_nxt:
            return False
        if self.state in _OPENING:
            self._end(number)
        return True

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
            self._config.host.mib.TcpExtTCPAbortOnClose += 1
            self.abort(now)
            return
        self._release_received()
        self.shutdown(now)
        if self.state is State.FIN_WAIT_2:
            self._deadline = now + FIN_WAIT_2_S

    def abort(self, now: float) -> None:
        """RST to the peer where it is owed (RFC 9293 section 3.10.5); all is released, `received` too."""
        if self.state in RESET_ON_ABORT:
            self._replies.append(self._emitter.reset(now))
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
        emitter = self._emitter
        nxt = receiver.rcv_nxt
        receiver.segs_in += 1
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
            sender, payload = self._sender, segment.payload
            una = sender.snd_una
            ack = una + ((header.ack - una + HALF) & MASK) - HALF
            length = 0 if payload is None else len(payload)
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
                _drop(segment)
                return
            seq, flags = seq + 1, flags & ~SYN  # simultaneous open: its SYN again, and the ACK of ours
        if not self._acceptance.accepts(segment, seq, flags, now):
            _drop(segment)
        elif flags & RST:
            self._on_reset(seq, now)
            _drop(segment)
        elif flags & SYN:
            self._config.host.mib.TcpExtTCPSYNChallenge += 1
            self._acceptance.challenge(now)
            _drop(segment)
        elif not flags & ACK or not self._on_ack(segment, seq, now):
            _drop(segment)
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
            if self._closed and end > receiver.rcv_nxt:
                payload.release()
                self._config.host.mib.TcpExtTCPAbortOnData += 1
                self.abort(now)
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
        assert opening is not None
        assert opening.agreement is not None
        assert opening.peer is not None
        agreed = opening.agreement
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
            mib.TcpAttemptFails += before in _OPENING

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

    # --- time -------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When handle_timeout should be called, or None. Look at arrived segments first: a late timer is
        harmless, a timer that overtakes a waiting ACK is a needless retransmission."""
        at = self._sender.next_timeout()
        if self._receiver.ack_at < at:
            at = self._receiver.ack_at
        if self._deadline < at:
            at = self._deadline
        if self._keepalive is not None and self._keepalive.at < at:
            at = self._keepalive.at
        if self.time_wait is not None:
            return self.time_wait.next_timeout()
        return None if at == inf else at

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that has passed; what is due is then in segments_to_send."""
        if self.time_wait is not None:
            self.time_wait.handle_timeout(now)
            if self.time_wait.state is State.CLOSED:
                self._end(0)
            return
        if self._deadline <= now:
            self._deadline = inf
            if self._opening is not None:
                self._repeat_syn(self._opening, now)
            else:
                self._end(0)
        if self._receiver.ack_at <= now:
            self._receiver.ack_due = True
            self._receiver.ack_at = inf
        if self._keepalive is not None and self._keepalive.at <= now:
            self._ask_whether_alive(self._keepalive, now)
        if not self._sender.handle_timeout(now):
            self._config.host.mib.TcpExtTCPAbortOnTimeout += 1
            self._end(errno.ETIMEDOUT)

    def _repeat_syn(self, opening: Opening, now: float) -> None:
        if opening.repeat(now):
            self._config.host.mib.TcpRetransSegs += 1
            self._deadline = now + opening.wait_s(self._sender.rtt.rto, now)
        else:
            self._end(errno.ETIMEDOUT)

    def _ask_whether_alive(self, timer: KeepaliveTimer, now: float) -> None:
        sender = self._sender
        busy = sender.snd_nxt != sender.snd_una or bool(sender.queue.bytes)
        verdict = timer.expire(now, self._acceptance.heard_at, busy, sender.user_timeout_s)
        if verdict is Verdict.PROBE:
            self._config.host.mib.TcpExtTCPKeepAlive += 1
            sender.persist.due = True
        elif verdict is Verdict.DEAD:
            self._replies.append(self._emitter.reset(now))
            self._config.host.mib.TcpExtTCPAbortOnTimeout += 1
            self._end(errno.ETIMEDOUT)

    # --- segments out -----------------------------------------------------------------------------

    def segments_to_send(self, now: float, limit: int = 64) -> list[Segment]:
        """At most `limit` segments of data and what else is due; each owns its payload references."""
        out = self._replies
        if out:
            self._replies = []
            self._emitter.count(len(out))
        else:
            out = []
        opening = self._opening
        if opening is not None:
            if opening.due or self._receiver.ack_due:
                self._receiver.ack_due = False
                seq, ack, emitter = self._sender.snd_una, self._receiver.rcv_nxt, self._emitter
                out.append(opening.segment(emitter.ports, seq, ack, emitter.ts_recent, now))
                emitter.count(1)
        elif self.state is not State.CLOSED:
            self._emitter.transmit(now, limit, out)
            if self.time_wait is not None:
                out += self.time_wait.segments_to_send(now)
        return out

    def _reset(self, segment: Segment) -> None:
        reset = reset_for(segment)
        if reset is not None:
            self._config.host.mib.TcpOutRsts += 1
            self._replies.append(reset)

    # --- a look at it -----------------------------------------------------------------------------

    def info(self) -> TcpInfo:
        """What TCP_INFO tells."""
        return tcp_info(self.state, self._config, self._sender, self._receiver, self._emitter)


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
