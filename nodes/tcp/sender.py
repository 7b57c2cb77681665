"""The sending half of a connection: its variables and its parts. What the application queues flows in.

RFC 9293 section 3.3.1 (SND.* variables), RFC 5681, RFC 7323; the sending half of struct tcp_sock
(include/linux/tcp.h). Owns the send queue, the scoreboard, the RTT estimate, congestion control, recovery,
the pacer, the tail loss probe, the persist timer and the send buffer. `ack` changes it when an ACK comes,
`xmit` when segments leave, `write_timer` when a timer expires.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.chrono import Chrono, Limit
from nodes.tcp.config import TcpConfig
from nodes.tcp.congestion.control import CongestionControl, congestion_control
from nodes.tcp.pacing import UNLIMITED, Pacer, pacing_rate
from nodes.tcp.persist import PersistTimer
from nodes.tcp.recovery import Recovery
from nodes.tcp.rtt import RttEstimator
from nodes.tcp.sack import Scoreboard
from nodes.tcp.segment import Payload
from nodes.tcp.send_buffer import SendBuffer, size_for
from nodes.tcp.send_queue import SendQueue
from nodes.tcp.tail_probe import TailProbe

_MSS_DEFAULT = 536  # TCP_MSS_DEFAULT


class Sender:
    """Sequence numbers unwrapped, windows in bytes, times in monotonic seconds."""

    __slots__ = (
        "_first_seq", "_max_segment_bytes", "buffer", "bytes_retrans", "chrono", "control", "cork",
        "cwnd_limited", "cwnd_usage_seq", "cwr_due", "delivered_bytes", "fin_acked", "fin_queued", "fin_sent",
        "gso_max_bytes", "last_sent_at", "max_flight_bytes", "max_wnd", "more_una", "mss", "mss_clamp",
        "nodelay", "notsent_lowat", "pacer", "persist", "progress_at", "push_seq", "queue", "recovery", "rtt",
        "sack_permitted", "scoreboard", "snd_nxt", "snd_sml", "snd_una", "snd_wl1", "snd_wnd", "snd_wscale",
        "tail_probe", "thin_linear_timeouts", "total_retrans", "user_timeout_s",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, iss: int) -> None:
        self.snd_una = iss
        self.snd_nxt = iss + 1  # the SYN, which the handshake retransmits: it is not on the scoreboard
        self.snd_wnd = 0  # bytes
        self.snd_wscale = 0  # the window field shifted left by this is in bytes
        self.snd_wl1 = 0
        self.max_wnd = 0  # largest snd_wnd
        self._first_seq = iss + 1  # of our first byte
        self.mss = config.mss  # payload bytes of one wire packet
        self.mss_clamp = config.mss  # of the largest that the peer takes
        self._max_segment_bytes = config.max_segment_bytes
        self.gso_max_bytes = config.max_segment_bytes  # payload bytes of the largest super-segment
        self.buffer = SendBuffer(config.send_buffer_bytes, config.send_buffer_max_bytes)
        self.nodelay = config.nodelay
        self.cork = config.cork
        self.notsent_lowat = config.notsent_lowat
        self.thin_linear_timeouts = config.thin_linear_timeouts
        self.user_timeout_s = config.user_timeout_s
        self.sack_permitted = False  # both SYNs had the option
        self.queue = SendQueue()
        self.scoreboard = Scoreboard()
        self.rtt = RttEstimator()
        self.control: CongestionControl = congestion_control(config.congestion, config.mss)
        self.recovery = Recovery(self.scoreboard, self.rtt, self.control, config.netns.mib)
        self.pacer: Pacer | None = None
        self.set_max_pacing_rate(config.max_pacing_rate)
        self.tail_probe = TailProbe()
        self.persist = PersistTimer()
        self.fin_queued = self.fin_sent = self.fin_acked = False
        # Of the window of data that ends at cwnd_usage_seq: whether cwnd kept data from leaving, else the
        # largest flight.
        self.cwnd_limited = False
        self.max_flight_bytes = self.cwnd_usage_seq = 0
        self.push_seq = 0  # what begins before this may leave in small segments (TCP_NAGLE_PUSH)
        self.more_una = -1  # MSG_MORE holds small segments while snd_una is this
        self.snd_sml = 0  # end of the last small segment (Minshall)
        self.chrono = Chrono()
        self.cwr_due = False  # the next new segment carries CWR
        self.last_sent_at = -inf
        self.progress_at = -inf  # when snd_una last advanced
        self.delivered_bytes = 0  # bytes acknowledged or sacked since the start
        self.total_retrans = 0  # wire packets retransmitted
        self.bytes_retrans = 0

    def on_established(self, mss: int, sack_permitted: bool, window: int, irs: int) -> None:
        """The handshake is complete. `mss`: payload bytes of one wire packet; `window`: bytes; `irs`: of the
        peer's SYN."""
        self.sack_permitted = sack_permitted
        self.mss = mss
        self.gso_max_bytes = self.whole_segments_bytes()
        self.control = self.recovery.control = congestion_control(self.control.name, mss)
        self.snd_una = self._first_seq
        self.snd_wnd = self.max_wnd = window
        self.snd_wl1 = irs
        self.buffer.expand(self._buffer_for_cwnd)

    def set_congestion(self, name: str) -> None:
        """TCP_CONGESTION: another congestion control takes over cwnd and ssthresh. ValueError as for
        `congestion_control`."""
        if name != self.control.name:
            self.control = self.recovery.control = congestion_control(name, self.mss, self.control)

    def set_max_pacing_rate(self, max_rate: int) -> None:
        """SO_MAX_PACING_RATE, bytes a second. As in Linux, a connection that was once limited stays paced."""
        if self.pacer is not None:
            self.pacer.max_rate = max_rate
        elif max_rate != UNLIMITED:
            self.pacer = Pacer(max_rate)

    def set_mss(self, mss: int) -> None:
        """Later segments carry `mss` bytes in each wire packet (tcp_sync_mss)."""
        self.mss = mss
        self.gso_max_bytes = self.whole_segments_bytes()
        self.control.set_mss(mss)

    def whole_segments_bytes(self) -> int:
        """Payload bytes of the largest super-segment that the NIC takes and that divides into whole
        segments."""
        return max(self.mss, self._max_segment_bytes // self.mss * self.mss)

    @property
    def in_flight(self) -> int:
        """Bytes believed to be in the network (RFC 6675's pipe)."""
        board = self.scoreboard
        return self.snd_nxt - self.snd_una - board.sacked_bytes - board.lost_bytes - board.reno_sacked_bytes

    @property
    def bytes_acked(self) -> int:
        """Payload bytes that the peer has acknowledged."""
        return max(0, self.snd_una - self._first_seq - self.fin_acked)

    @property
    def bytes_sent(self) -> int:
        """Payload bytes sent, retransmissions included."""
        return self.buffer.accepted_bytes - self.queue.bytes + self.bytes_retrans

    # --- the send buffer --------------------------------------------------------------------------

    def append(self, payload: Payload) -> None:
        """Queue `payload`, now ours."""
        length, truesize = len(payload), payload.truesize
        self.queue.append(payload)
        self.buffer.charge(length, truesize, self.queue.tail_bytes, self.size_goal)

    @property
    def send_room(self) -> int:
        """Bytes that the application may queue now. With TCP_NOTSENT_LOWAT, whole skbs until so many bytes
        wait that could not be sent at once (tcp_stream_memory_free). Without room it waits for some."""
        buffer, lowat, goal = self.buffer, self.notsent_lowat, self.size_goal
        if buffer.nospace:
            self.check_space()
        room = buffer.room(self.bytes_acked, self.queue.tail_bytes, goal)
        if lowat:
            usable = min(self.control.cwnd - self.in_flight, self.snd_una + self.snd_wnd - self.snd_nxt)
            left = lowat - self.queue.bytes + max(0, usable)
            room = min(room, max(0, -(-left // goal) * goal))
        if room <= 0:
            buffer.on_nospace(self.bytes_acked)
        return room

    @property
    def writable(self) -> bool:
        """Whether a process that polls should write: a third of the send buffer is free, and less than half
        of TCP_NOTSENT_LOWAT is not sent (sk_stream_is_writeable, tcp_stream_memory_free). If not, it waits
        for room."""
        buffer = self.buffer
        if buffer.nospace:
            self.check_space()
        elif not self._is_writable:
            buffer.on_nospace(self.bytes_acked)
        return not buffer.nospace

    def check_space(self) -> None:
        """The application waits for room: the buffer may grow, and there may be some (tcp_check_space). What
        is queued leaves before it counts what cwnd has left."""
        leaves = min(self.queue.bytes, max(0, self.snd_una + self.snd_wnd - self.snd_nxt))
        limited = self.in_flight + leaves >= self.control.cwnd
        self.buffer.on_check(self.bytes_acked, limited, self._buffer_for_cwnd)
        self.buffer.nospace = not self._is_writable

    @property
    def _is_writable(self) -> bool:
        if self.notsent_lowat and 2 * self.queue.bytes >= self.notsent_lowat:
            return False
        return self.buffer.writable(self.bytes_acked)

    @property
    def _buffer_for_cwnd(self) -> int:
        return size_for(self.control.cwnd // self.mss, max(self.mss_clamp, self.mss))

    @property
    def size_goal(self) -> int:
        """Payload bytes of a full skb: of the largest super-segment, but no more than half of the largest
        window that the peer has offered (tcp_xmit_size_goal)."""
        whole, mss, half = self.whole_segments_bytes(), self.mss, self.max_wnd
        if half > _MSS_DEFAULT:
            half >>= 1
        return whole if not half or whole <= half else max(half // mss * mss, mss)

    @property
    def pacing_rate(self) -> int:
        """Bytes a second at which Linux would pace."""
        control, max_rate = self.control, UNLIMITED if self.pacer is None else self.pacer.max_rate
        window = max(control.cwnd, self.snd_nxt - self.snd_una)
        return pacing_rate(window, control.ssthresh, control.cwnd, self.rtt.srtt, max_rate)

    def push(self) -> None:
        """What is queued now may leave, however small; what is queued later may not (TCP_NAGLE_PUSH)."""
        self.push_seq = self.snd_nxt + self.queue.bytes

    def clear(self) -> None:
        """Release all payload and stop the timers of the parts."""
        self.queue.clear()
        self.scoreboard.clear()
        self.chrono.limit = Limit.IDLE
        self.recovery.reo_timeout_at = inf
        self.persist.stop()
        self.persist.probe_due = False
        if self.pacer is not None:
            self.pacer.wake_at = inf
        self.tail_probe.reset()
