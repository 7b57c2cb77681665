"""The application's calls, segments and time in; segments and payload in order out: one whole TCP connection.

RFC 9293 sections 3.10.1 to 3.10.6 (user calls) and 3.10.8 (timeouts); net/ipv4/tcp.c, net/ipv4/tcp_timer.c.
Owns the connection's parts by its TCB; README.md beside this file says how they work together. There is no
clock: every method is told `now`, monotonic seconds.
"""

from __future__ import annotations

import errno
from math import inf
from typing import Final

from nodes.tcp.chrono import Limit
from nodes.tcp.config import TcpConfig
from nodes.tcp.icmp_err import IcmpErr
from nodes.tcp.info import TcpInfo, tcp_info
from nodes.tcp.input import SegmentInput
from nodes.tcp.output import reset_for
from nodes.tcp.segment import CE, Payload, Segment
from nodes.tcp.seq import HALF, MASK
from nodes.tcp.sockopt import Sockopt
from nodes.tcp.state import Event, State
from nodes.tcp.tcb import Tcb
from nodes.tcp.time_wait import TimeWait
from nodes.tcp.timer import on_deadline, on_keepalive_timeout
from nodes.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, TcpHeader

__all__ = ["Connection", "State", "TcpConfig", "TcpInfo", "reset_for"]

_DECISIVE: Final = FIN | SYN | RST | ACK | ECE | CWR  # with any of these but ACK, header prediction fails
_CLOSED: Final = State.CLOSED
_ESTABLISHED: Final = State.ESTABLISHED


class Connection:
    """One TCP connection without a socket, a clock or a wire.

    `prune` is called when the rx queue of this flow had no buffer left for a packet: what waits beyond holes
    is given back. `received` holds payload in order: the application takes it, then owns it, and reports by
    `consumed` what it used. `sockopt` changes socket options, `icmp_err` takes ICMP errors, `tcb` is for
    the owner to look at.
    After every batch of segments, calls or timeouts the owner calls `segments_to_send`. In TIME_WAIT, when
    nothing is left to send, the owner may `retire` the connection and keep the small rest of it.
    """

    __slots__ = (
        "_ack", "_input", "_output", "_receiver", "_sender", "_validate", "_write_timer", "icmp_err",
        "prune", "received", "sockopt", "tcb",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, ports: tuple[int, int], iss: int, state: State, now: float) -> None:
        """Use `connect`, `accept` or `from_cookie`. `ports`: local, remote."""
        self.tcb = tcb = Tcb(config, ports, iss, state, now)
        self._input = SegmentInput(tcb)
        # Parts that every segment needs, one attribute away.
        self._sender, self._write_timer, self._ack = tcb.sender, tcb.write_timer, tcb.ack
        self._receiver, self._output, self._validate = tcb.receiver, tcb.output, tcb.validate
        self.received = tcb.receiver.received
        self.prune = tcb.receiver.prune
        self.sockopt = Sockopt(tcb)
        self.icmp_err = IcmpErr(tcb)

    @classmethod
    def connect(
        cls, config: TcpConfig, local_port: int, remote_port: int, iss: int, now: float
    ) -> Connection:
        """Active open (RFC 9293 section 3.10.1): a SYN is due. `iss`: the caller chooses it (RFC 6528)."""
        config.netns.mib.TcpActiveOpens += 1
        return cls(config, (local_port, remote_port), iss, State.SYN_SENT, now)

    @classmethod
    def accept(cls, config: TcpConfig, syn: Segment, iss: int, now: float) -> Connection:
        """Passive open by a SYN for a listener: a SYN-ACK is due. Releases the SYN's payload."""
        header = syn.header
        connection = cls(config, (header.dst_port, header.src_port), iss, State.SYN_RECEIVED, now)
        connection.tcb.on_syn_received(syn)
        syn.drop()
        return connection

    @classmethod
    def from_cookie(cls, config: TcpConfig, syn: TcpHeader, iss: int, now: float) -> Connection:
        """Passive open by a SYN cookie (`syncookie`): call `receive_segment` with its ACK next."""
        connection = cls.accept(config, Segment(syn), iss, now)
        handshake = connection.tcb.handshake
        assert handshake is not None
        handshake.syn_due = False
        handshake.retries = 1  # when the SYN-ACK left is not known: the handshake gives no RTT sample
        return connection

    # --- what the application can ask ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state; TIME_WAIT also after its end, until handle_timeout or `retire`."""
        return self.tcb.state

    @property
    def error(self) -> int:
        """errno with which the connection ended, 0 without; the reader may set it to 0."""
        return self.tcb.error

    @error.setter
    def error(self, error: int) -> None:
        self.tcb.error = error

    @property
    def fin_received(self) -> bool:
        """Whether the peer's stream has ended and all of it is in `received`."""
        return self._receiver.fin_received

    @property
    def bytes_acked(self) -> int:
        """Payload bytes that the peer has acknowledged since the start."""
        return self._sender.bytes_acked

    @property
    def progress_at(self) -> float:
        """When the peer last acknowledged something new, -inf for never."""
        return self._sender.progress_at

    @property
    def unsent_bytes(self) -> int:
        """Payload bytes that are queued and were never sent."""
        return self._sender.queue.bytes

    @property
    def send_room(self) -> int:
        """Bytes that may be queued now."""
        return self._sender.send_room

    @property
    def readable_bytes(self) -> int:
        """Unread bytes at which a reader is woken, however much it waits for."""
        return self._receiver.readable_bytes

    def info(self, now: float | None = None) -> TcpInfo:
        """TCP_INFO; without `now` the fields that say how long ago something was are 0."""
        return tcp_info(self.tcb, now)

    # --- what the application can do ----------------------------------------------------------------

    def send(self, payload: Payload, now: float) -> None:
        """SEND: queue `payload` and own it; the caller looked at send_room. In CLOSED it is released at once.

        Raises BrokenPipeError after `shutdown`, as send(2) does; the payload is then released.
        """
        tcb, sender = self.tcb, self._sender
        if tcb.state is _CLOSED or sender.fin_queued:
            payload.release()
            if sender.fin_queued:
                port = tcb.output.ports[0]
                raise BrokenPipeError(
                    errno.EPIPE, f"port {port} was shut down for sending: send before shutdown"
                )
            return
        sender.more_una = -1
        if sender.chrono.limit is Limit.IDLE:
            sender.chrono.set(Limit.BUSY, now)
        sender.append(payload)

    def end_of_send(self, more: bool, eor: bool) -> None:
        """The last `send` ended a call with MSG_MORE or MSG_EOR. `more`: its last small segment waits for the
        next call, the next ACK or 200 ms. `eor`: nothing is joined to it, not in a retransmission either."""
        sender = self._sender
        if more:
            sender.more_una = sender.snd_una
        if eor:
            sender.queue.end_record()

    def consumed(self, count: int, now: float) -> bool:
        """The application took `count` bytes out of the receive buffer, so the window may grow; or it waits
        for more. Returns whether an ACK is due that was not."""
        receiver = self._receiver
        was_due = receiver.ack_due
        if self.tcb.state is not _CLOSED:
            receiver.consumed(count, now)
        return receiver.ack_due and not was_due

    def shutdown(self, now: float) -> None:
        """A FIN follows what is queued (shutdown(2) with SHUT_WR). In SYN_SENT the connection ends."""
        tcb = self.tcb
        if tcb.state is State.SYN_SENT:
            tcb.end(0)
        elif tcb.state is not _CLOSED and not tcb.sender.fin_queued:
            tcb.sender.fin_queued = True
            if tcb.state is not State.SYN_RECEIVED:
                tcb.fire(Event.CLOSE, now)

    def shutdown_receive(self) -> None:
        """shutdown(2) with SHUT_RD: once our stream has ended too, more payload is answered by a RST."""
        self.tcb.rcv_shutdown = True

    def close(self, now: float) -> None:
        """CLOSE: the application will neither send nor read any more (close(2), tcp_close).

        As in Linux, unread payload turns it into an abort (RFC 2525 section 2.17), payload that comes later
        is answered by a RST, and FIN_WAIT_2 lasts as long as TCP_LINGER2 says.
        """
        tcb = self.tcb
        tcb.orphan = tcb.write_timer.orphan = True
        if tcb.receiver.unread_bytes and not tcb.receiver.fin_received:
            tcb.config.netns.mib.TcpExtTCPAbortOnClose += 1
            tcb.abort(now)
            return
        tcb.release_received()
        self.shutdown(now)
        if tcb.state is State.FIN_WAIT_2:
            if tcb.config.linger2_s < 0:
                tcb.config.netns.mib.TcpExtTCPAbortOnLinger += 1
                tcb.abort(now)
            else:
                tcb.await_fin(now)

    def abort(self, now: float) -> None:
        """ABORT: a RST to the peer where RFC 9293 section 3.10.5 requires one; all payload is released,
        `received` too."""
        self.tcb.abort(now)

    def retire(self, now: float) -> TimeWait:
        """In TIME_WAIT: the part to keep for a minute from now on. The connection ends, as in tcp_time_wait;
        `received` stays."""
        time_wait = self.tcb.time_wait
        assert time_wait is not None
        time_wait.restart_timer(now)
        self.tcb.end(0)
        return time_wait

    # --- segments in --------------------------------------------------------------------------------

    def receive_segment(self, segment: Segment, now: float) -> None:
        """Take a segment of this connection and own its payload. The caller checked checksum and ports."""
        payload = segment.payload
        length = 0
        if payload is None:
            self._receiver.segs_in += 1
        else:
            length = len(payload)
            self._measure(segment, payload, length, now)
        if not (self._is_predicted(segment) and self._receive_predicted(segment, payload, length, now)):
            self._input.receive_segment(segment, now)

    def _measure(self, segment: Segment, payload: Payload, length: int, now: float) -> None:
        """What a segment with payload tells of the peer's sender, whether or not it is taken
        (tcp_event_data_recv, tcp_measure_rcv_mss)."""
        receiver = self._receiver
        packets = -(-length // segment.mss) if segment.mss else 1
        receiver.segs_in += packets
        receiver.data_segs_in += packets
        if now - receiver.last_data_at > self._sender.rtt.rto:
            window = receiver.rcv_adv - receiver.rcv_nxt
            receiver.quick_ack.enter(window, receiver.mss)  # the peer restarts its cwnd
        receiver.last_data_at = now
        packet = segment.mss or length
        if packet > receiver.largest:
            receiver.measure(packet, payload)
        if segment.header.flags & PSH or packet < receiver.mss:
            receiver.quick_ack.on_push(packet < receiver.mss)

    def _is_predicted(self, segment: Segment) -> bool:
        """Header prediction (tcp_rcv_established): whether this is the next segment of an established
        connection in which nothing is unusual. It changes nothing but what its payload and its ACK say."""
        header, receiver = segment.header, self._receiver
        return (
            self.tcb.state is _ESTABLISHED
            and header.flags & _DECISIVE == ACK
            and header.seq == receiver.rcv_nxt & MASK
            and not receiver.reassembly
            and receiver.fin_seq is None
            and not header.sack
            and segment.ecn != CE
            and not receiver.ece
            and not segment.scarce
            and (
                not receiver.timestamps
                or (header.ts_val is not None and header.ts_val - receiver.ts_recent & MASK < HALF)
            )
        )

    def _receive_predicted(self, segment: Segment, payload: Payload | None, length: int, now: float) -> bool:
        """Take such a segment; False: its ACK or its payload is beyond a window after all."""
        header, receiver, sender = segment.header, self._receiver, self._sender
        nxt, una = receiver.rcv_nxt, sender.snd_una
        ack = una + ((header.ack - una + HALF) & MASK) - HALF
        if not una <= ack <= sender.snd_nxt or length > receiver.rcv_adv - nxt:
            return False
        if header.ts_val is not None and receiver.last_ack_sent == nxt:
            receiver.ts_recent = header.ts_val
        self._validate.rcv_tstamp = now
        window = header.window << sender.snd_wscale
        if payload is None:
            if ack == una and window == sender.snd_wnd:
                self._ack.on_duplicate_ack(now)
            self._ack.on_ack_received(ack, nxt, window, header.ts_ecr, now)
            return True
        if ack != una or window != sender.snd_wnd:
            self._ack.on_ack_received(ack, nxt, window, header.ts_ecr, now)
        if header.ts_ecr != receiver.last_ts_ecr:
            receiver.on_ts_ecr(header.ts_ecr, length, now)
        receiver.deliver(payload, length, now)
        if receiver.ack_due and not segment.mss:  # super-segments of a batch share an ACK
            self.tcb.replies.append(self._output.ack(now, receiver.ece))
        return True

    # --- time ---------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """When handle_timeout should be called, or None. Process received segments first: a late timer does
        no harm, but a timer handled before an ACK that has already come is a needless retransmission."""
        tcb, delayed_ack_at = self.tcb, self._receiver.delayed_ack_at
        at = self._write_timer.next_timeout()
        if delayed_ack_at < at:
            at = delayed_ack_at
        comp_sack_at = self._receiver.comp_sack.at
        if comp_sack_at < at:
            at = comp_sack_at
        if tcb.deadline < at:
            at = tcb.deadline
        if tcb.keepalive is not None and tcb.keepalive.at < at:
            at = tcb.keepalive.at
        if tcb.time_wait is not None:
            return tcb.time_wait.next_timeout()
        return None if at == inf else at

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that has passed; what is due is then in segments_to_send."""
        tcb = self.tcb
        if tcb.time_wait is not None:
            tcb.time_wait.handle_timeout(now)
            if tcb.time_wait.state is _CLOSED:
                tcb.end(0)
            return
        if tcb.deadline <= now:
            on_deadline(tcb, now)
        receiver = self._receiver
        if receiver.delayed_ack_at <= now:
            receiver.ack_due = True
            receiver.delayed_ack_at = inf
            receiver.quick_ack.on_delayed_ack()
        if receiver.comp_sack.at <= now:
            tcb.send_compressed_ack(now)
        if tcb.keepalive is not None and tcb.keepalive.at <= now:
            on_keepalive_timeout(tcb, tcb.keepalive, now)
        if not self._write_timer.handle_timeout(now):
            tcb.config.netns.mib.TcpExtTCPAbortOnTimeout += 1
            tcb.end(errno.ETIMEDOUT)

    # --- segments out -------------------------------------------------------------------------------

    def segments_to_send(self, now: float, limit: int = 64) -> list[Segment]:
        """At most `limit` segments of data, and what else is due. The caller owns their payload
        references."""
        tcb = self.tcb
        out = tcb.take_replies()
        if tcb.handshake is not None:
            tcb.add_syn(out, tcb.handshake, now)
        elif tcb.state is not _CLOSED:
            self._output.transmit(now, limit, out)
            if tcb.time_wait is not None:
                out += tcb.time_wait.segments_to_send(now)
            elif tcb.keepalive is not None and tcb.keepalive.probe_due:
                tcb.keepalive.probe_due = False
                out.append(self._output.probe(now))
                self._output.count(1)
        return out
