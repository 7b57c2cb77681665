"""The Transmission Control Block: all that one connection remembers, and what its changes of state do.

RFC 9293 section 3.3.1; struct tcp_sock (include/linux/tcp.h), tcp_set_state, tcp_done and tcp_time_wait
(net/ipv4). Events flow in from `input`, `connection` and the timers; the state and its consequences for every
part flow out. Owns the state and the parts; README.md beside this file says how the parts work together.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from nodes.tcp.ack import AckInput
from nodes.tcp.config import TcpConfig
from nodes.tcp.handshake import TIMESTAMP_BYTES, Handshake
from nodes.tcp.keepalive import Keepalive, KeepaliveTimer
from nodes.tcp.output import SegmentOutput
from nodes.tcp.receive_buffer import ReceiveBuffer
from nodes.tcp.receiver import Receiver
from nodes.tcp.segment import Segment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import MASK, unwrap
from nodes.tcp.state import (
    CURR_ESTAB,
    HANDSHAKE,
    RESET_ON_ABORT,
    SYNCHRONIZED,
    Event,
    State,
    next_state,
)
from nodes.tcp.time_wait import TIME_WAIT_S, TimeWait, TimewaitTcb
from nodes.tcp.validate import Validate
from nodes.tcp.write_timer import WriteTimer
from nodes.tcp.xmit import Xmit

FIN_TIMEOUT_S = 60.0  # sysctl tcp_fin_timeout: FIN_WAIT_2 of an orphan whose peer does not close
_FIN_TIMEOUT_RTOS = 3.5  # FIN_WAIT_2 lasts no less


class Tcb:
    """Times in monotonic seconds, sequence numbers unwrapped."""

    __slots__ = (
        "ack", "config", "deadline", "error", "handshake", "keepalive", "orphan", "output", "rcv_shutdown",
        "receiver", "replies", "sender", "state", "time_wait", "validate", "write_timer", "xmit",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, ports: tuple[int, int], iss: int, state: State, now: float) -> None:
        """`ports`: local, remote. `state`: SYN_SENT or SYN_RECEIVED."""
        netns = config.netns
        self.config = config
        self.state = state
        self.error = 0  # errno with which the connection ended: ECONNREFUSED, ECONNRESET, ETIMEDOUT, ...
        self.sender = Sender(config, iss & MASK)
        self.write_timer = WriteTimer(self.sender, netns.mib)
        self.xmit = Xmit(self.sender, self.write_timer, netns.mib)
        self.ack = AckInput(self.sender, self.write_timer, netns.mib)
        buffer = ReceiveBuffer(config.receive_buffer_bytes, config.receive_buffer_max_bytes)
        self.receiver = Receiver(buffer, netns.mib)
        self.receiver.rcvlowat = config.rcvlowat
        self.output = SegmentOutput(ports, self.sender, self.receiver, self.xmit, netns.mib)
        self.validate = Validate(self.receiver, netns, now)
        self.handshake: Handshake | None = Handshake(config, now)  # None once established
        # Segments built when they became due, because a later state could not tell their numbers: resets.
        self.replies: list[Segment] = []
        # Of the handshake's retransmission, later of FIN_WAIT_2: the two never wait at the same time.
        self.deadline = now + self.handshake.timeout_s(self.sender.rtt.rto, now)
        self.keepalive: KeepaliveTimer | None = None
        self.time_wait: TimeWait | None = None
        self.orphan = False  # the application has closed: no process will read (SOCK_DEAD)
        self.rcv_shutdown = False  # SHUT_RD (RCV_SHUTDOWN)

    # --- the handshake ----------------------------------------------------------------------------

    def on_syn_received(self, segment: Segment) -> Handshake:
        """The peer's first SYN or SYN-ACK: its sequence number and its options."""
        handshake, header = self.handshake, segment.header
        assert handshake is not None
        options = handshake.on_syn_received(segment)
        # As connector the window was promised in our SYN, whose segments had no timestamps.
        mss = self.config.mss if self.state is State.SYN_SENT else handshake.window_mss
        self.receiver.on_syn_received(header.seq, mss)
        self.receiver.timestamps = options.timestamps
        self.receiver.ts_recent = header.ts_val or 0
        self.sender.snd_wscale = options.snd_wscale
        return handshake

    def add_syn(self, out: list[Segment], handshake: Handshake, now: float) -> None:
        """Add our SYN or SYN-ACK to `out`, if one is due."""
        receiver, output = self.receiver, self.output
        if handshake.syn_due or receiver.ack_due:
            receiver.ack_due = False
            ack, ts_recent = receiver.rcv_nxt, receiver.ts_recent
            out.append(handshake.syn(output.ports, self.sender.snd_una, ack, ts_recent, now))
            output.count(1)

    def establish(self, window: int, now: float) -> None:
        """The handshake is complete: its options take effect (tcp_finish_connect, tcp_init_transfer).
        `window`: bytes."""
        handshake, sender, output = self.handshake, self.sender, self.output
        assert handshake is not None
        assert handshake.options is not None
        assert handshake.peer is not None
        options = handshake.options
        sender.mss_clamp = options.peer_mss
        irs = unwrap(handshake.peer.seq, self.receiver.rcv_nxt)
        sender.on_established(options.mss, options.sack, window, irs)
        advmss = self.config.mss - TIMESTAMP_BYTES * options.timestamps
        self.receiver.on_established(options.mss, advmss, options.rcv_wscale, now)
        sender.last_sent_at = now  # before any data, TCP_INFO counts from here (tcp_finish_connect)
        self.receiver.comp_sack.rtt = sender.rtt if options.sack else None
        self.receiver.last_data_at = max(self.receiver.last_data_at, now)
        output.ecn = options.ecn
        output.all_ect = options.ecn and self.config.congestion == "dctcp"
        if not handshake.retries:
            sender.rtt.sample(now - handshake.started_at)
            self.receiver.buffer.rtt_s = now - handshake.started_at
        elif handshake.retries > 1:
            sender.control.cwnd = options.mss  # RFC 5681 section 3.1: the path loses even SYNs
        self.handshake = None
        self.receiver.ack_due = False
        self.deadline = inf
        self.set_keepalive(self.config.keepalive)
        if sender.fin_queued:
            self.fire(Event.CLOSE, now)

    def set_keepalive(self, options: Keepalive | None) -> None:
        """Start the keepalive timer, or stop it with None. During the handshake the timer waits for its
        end."""
        self.keepalive = None
        if self.state in HANDSHAKE:
            self.config = replace(self.config, keepalive=options)
        if options is not None and self.state in SYNCHRONIZED:
            self.keepalive = KeepaliveTimer(options, self.validate.rcv_tstamp)

    def take_replies(self) -> list[Segment]:
        """The segments that received ones ask for at once. The caller sends them."""
        replies, self.replies = self.replies, []
        if replies:
            self.output.count(len(replies))
        return replies

    def send_compressed_ack(self, now: float) -> None:
        """The ACK that stands for others leaves (tcp_sack_compress_send_ack): it is none of those saved."""
        self.receiver.comp_sack.waiting -= 1
        self.replies.append(self.output.ack(now, self.receiver.ece))

    @property
    def has_fine_timer(self) -> bool:
        """Whether a timer runs for which a millisecond is too coarse: the pacer's, RACK's or the one of
        compressed ACKs. On a short path a millisecond is several round trips."""
        pacer = self.sender.pacer
        return (
            (pacer is not None and pacer.waiting)
            or self.receiver.comp_sack.at != inf
            or self.sender.recovery.reo_timeout_at != inf
        )

    # --- the state --------------------------------------------------------------------------------

    def fire(self, event: Event, now: float) -> None:
        """Take the transition of `event`, and do what the new state requires."""
        self._set_state(next_state(self.state, event))
        if self.state is State.TIME_WAIT:
            self._enter_time_wait(now)
        elif self.state is State.FIN_WAIT_2 and self.orphan:
            self.await_fin(now)
        elif self.state is State.CLOSED:
            self._clear()

    def await_fin(self, now: float) -> None:
        """An orphan in FIN_WAIT_2 waits for the peer's FIN (tcp_fin_time). What exceeds a minute counts
        twice, and not the minute: the kernel waits for it with the socket, and again with what TIME_WAIT
        keeps."""
        timeout = max(self.config.linger2_s or FIN_TIMEOUT_S, _FIN_TIMEOUT_RTOS * self.sender.rtt.rto)
        self.deadline = now + (timeout if timeout <= TIME_WAIT_S else 2 * (timeout - TIME_WAIT_S))

    def end(self, error: int) -> None:
        """CLOSED at once, with errno `error` (0: none); payload in flight, queued and out of order is
        released (tcp_done). Payload in order stays for the application."""
        if self.state is not State.CLOSED:
            self._set_state(next_state(self.state, Event.END))
            self.error = error
            self._clear()

    def abort(self, now: float) -> None:
        """ABORT: a RST to the peer in the states that require it (RFC 9293 section 3.10.5); all payload is
        released."""
        if self.state in RESET_ON_ABORT:
            self.replies.append(self.output.reset(now))
        self.end(0)
        self.release_received()

    def release_received(self) -> None:
        """Release payload in order that the application did not take."""
        received = self.receiver.received
        while received:
            received.popleft().release()

    def _set_state(self, state: State) -> None:
        """Change the state and the counters that depend on it (tcp_set_state)."""
        mib, before = self.config.netns.mib, self.state
        self.state = state
        mib.TcpCurrEstab += (state in CURR_ESTAB) - (before in CURR_ESTAB)
        if state is State.CLOSED:
            mib.TcpEstabResets += before in CURR_ESTAB
            mib.TcpAttemptFails += before in HANDSHAKE

    def _enter_time_wait(self, now: float) -> None:
        """Everything was acknowledged in both directions (tcp_time_wait)."""
        receiver = self.receiver
        self.sender.clear()
        self.write_timer.stop()
        tcb = TimewaitTcb(
            ports=self.output.ports,
            snd_nxt=self.sender.snd_nxt & MASK,
            rcv_nxt=receiver.rcv_nxt & MASK,
            window=receiver.select_window(),
            ts_recent=receiver.ts_recent if receiver.timestamps else None,
        )
        self.time_wait = TimeWait(tcb, self.config.netns, now)
        self.keepalive = None

    def _clear(self) -> None:
        self.sender.clear()
        self.write_timer.stop()
        self.receiver.clear()
        self.deadline = inf
        self.handshake = self.keepalive = self.time_wait = None
