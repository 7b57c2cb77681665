"""The application's wishes and time in, segments and payload in order out: the whole of a connection.

RFC 9293 sections 3.10.1 to 3.10.6 (user calls) and 3.10.8 (timeouts); net/ipv4/tcp.c, net/ipv4/tcp_timer.c.
What segments do is `arrival`'s. No clock: every verb is told `now`, monotonic seconds.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from math import inf

from nodes.tcp.arrival import FIN_WAIT_2_S, Arrival, reset_for
from nodes.tcp.config import TcpConfig
from nodes.tcp.handshake import TIMESTAMP_BYTES
from nodes.tcp.info import TcpInfo, tcp_info
from nodes.tcp.keepalive import KeepaliveTimer, Verdict
from nodes.tcp.opening import Opening
from nodes.tcp.segment import Payload, Segment
from nodes.tcp.seq import unwrap
from nodes.tcp.state import OPENING, SYNCHRONIZED, Event, State
from nodes.tcp.time_wait import TimeWait
from nodes.wire.tcp import HEADER_BYTES, TcpHeader

__all__ = ["Connection", "State", "TcpConfig", "TcpInfo", "reset_for"]


class Connection(Arrival):
    """One TCP connection without a socket, a clock or a wire.

    `received` holds what the application may take; it then owns it and reports what it used by `consumed`.
    After every batch of segments, calls or timeouts the owner calls `segments_to_send`. In TIME_WAIT, when
    nothing is left to send, the owner may `retire` it and keep what remains.
    """

    __slots__ = ()

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
        syn.drop()
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

    def set_congestion(self, name: str) -> None:
        """TCP_CONGESTION on a living connection: the windows stay, what moves them changes at once."""
        self._config = replace(self._config, congestion=name)
        self._sender.set_congestion(name)
        self._emitter.all_ect = self._emitter.ecn and name == "dctcp"

    def set_send_buffer(self, size: int) -> None:
        """SO_SNDBUF on a living connection, bytes."""
        self._config = replace(self._config, send_buffer_bytes=size)

    def set_receive_buffer(self, size: int) -> None:
        """SO_RCVBUF on a living connection, bytes, as far as the window scale that was agreed goes."""
        self._receiver.resize(size, self.state in OPENING)

    def set_quickack(self, quick: bool) -> None:
        """TCP_QUICKACK: acknowledge each of the next segments at once, or delay from now on."""
        self._receiver.set_quick(quick)

    def set_max_pacing_rate(self, most: int) -> None:
        """SO_MAX_PACING_RATE on a living connection, bytes a second."""
        self._sender.set_max_pacing_rate(most)

    def path_mtu(self, mtu: int, quoted_seq: int, now: float) -> bool:
        """A router says that `mtu` bytes is all it can forward, quoting our segment at `quoted_seq`.

        Believed only if those bytes are in flight (RFC 5927 section 4); returns whether it was.
        """
        if self.state not in SYNCHRONIZED:
            return False
        return self._sender.path_mtu(self._mss_of(mtu), unwrap(quoted_seq, self._sender.snd_una), now)

    def path_mtu_expired(self, mtu: int) -> None:
        """What a router said is long ago: packets of `mtu` bytes, or what the peer takes, may pass again."""
        self._sender.widen(self._mss_of(mtu))

    def _mss_of(self, mtu: int) -> int:
        options = TIMESTAMP_BYTES if self._emitter.timestamps else 0
        return mtu - self._config.ip_header_bytes - HEADER_BYTES - options

    @property
    def handshake_timeouts(self) -> int:
        """How often our SYN or SYN-ACK was sent again; 0 once the handshake is over."""
        return 0 if self._opening is None else self._opening.retries

    def undeliverable(self, number: int, quoted_seq: int) -> bool:
        """A router or the peer says that our segment at `quoted_seq` cannot be delivered: an attempt to
        connect ends with errno `number`, a connection goes on (RFC 5461). Believed only if that is in flight
        (RFC 5927 section 4); returns whether it was."""
        seq = unwrap(quoted_seq, self._sender.snd_una)
        if not self._sender.snd_una <= seq < self._sender.snd_nxt:
            return False
        if self.state in OPENING:
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

    def shutdown_receive(self) -> None:
        """shutdown(2) with SHUT_RD: once we have finished as well, more data ends the connection by RST."""
        self._unwanted = True

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

    def retire(self, now: float) -> TimeWait:
        """What must be remembered in TIME_WAIT, for a minute from now on; all else ends, as in tcp_time_wait.
        `received` stays."""
        time_wait = self.time_wait
        assert time_wait is not None
        time_wait.restart(now)
        self._end(0)
        return time_wait

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

    @property
    def pacing(self) -> bool:
        """Whether a pacer holds something back."""
        pacer = self._sender.pacer
        return pacer is not None and pacer.waiting

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

    # --- a look at it -----------------------------------------------------------------------------

    def info(self, now: float | None = None) -> TcpInfo:
        """What TCP_INFO tells; without `now` not how long ago things were."""
        return tcp_info(self.state, self._config, self._sender, self._acceptance, now)
