"""Acknowledgements in; what is still out, how much may be, and until when to wait, out.

RFC 9293 section 3.10.7.4 (fifth), RFC 6298, RFC 2018 and 2883, RFC 3168 section 6.1.2; net/ipv4/tcp_input.c
tcp_ack. Owns what was sent and not acknowledged; `sender` adds when and what to send.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.config import TcpConfig
from nodes.tcp.congestion.control import CongestionControl, congestion_control
from nodes.tcp.pacing import UNLIMITED, Pacer, pacing_rate
from nodes.tcp.persist import PersistTimer
from nodes.tcp.recovery import Phase, Recovery
from nodes.tcp.rtt import RttEstimator
from nodes.tcp.sack import Record, Scoreboard
from nodes.tcp.send_queue import SendQueue
from nodes.tcp.seq import HALF, MASK, unwrap
from nodes.tcp.stamp import stamp
from nodes.tcp.tail_probe import TailProbe

LEAST_PATH_MTU_PAYLOAD = 500  # about what sysctl min_pmtu (552) leaves


class Outstanding:
    """The sending half as acknowledgements see it. Sequence numbers unwrapped; bytes and seconds."""

    __slots__ = (
        "_busy_since", "_config", "_cwnd_limited", "_ecn_until", "_first", "_goal_most", "_last_d_sack",
        "_mib", "_override", "_round_at", "_round_delivered", "_round_end", "_waiting_since",
        "accepted_bytes", "board", "busy_s", "bytes_retrans", "control", "cork", "cwr_due",
        "delivered_bytes", "delivered_ce_bytes", "delivery_rate", "dsack_dups", "fin_acked", "fin_queued",
        "fin_sent", "last_sent_at", "max_wnd", "mss", "mss_clamp", "nodelay", "pacer", "persist", "queue",
        "recovery", "retransmits", "rtt", "sack_permitted", "snd_nxt", "snd_shift", "snd_una", "snd_wl1",
        "snd_wnd", "tail", "timer_at", "timer_is_probe", "total_retrans", "total_rto", "user_timeout_s",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, iss: int) -> None:
        self._config = config
        self._mib = config.host.mib
        self.snd_una = iss
        self._last_d_sack = (0, 0)
        self.snd_nxt = iss + 1  # the SYN; it has no record, the handshake repeats it
        self.snd_wnd = 0  # bytes; on the wire shifted right by
        self.snd_shift = 0
        self.snd_wl1 = 0
        self.max_wnd = 0
        self.mss = config.mss
        self.mss_clamp = config.mss  # what the peer takes, whatever lies between
        self.nodelay = config.nodelay
        self.cork = config.cork
        self.user_timeout_s = config.user_timeout_s
        self.sack_permitted = False
        self.queue = SendQueue()
        self.board = Scoreboard()
        self.rtt = RttEstimator()
        self.control: CongestionControl = congestion_control(config.congestion, config.mss)
        self.recovery = Recovery(self.board, self.rtt, self.control, self._mib)
        self.pacer: Pacer | None = None
        self.set_max_pacing_rate(config.max_pacing_rate)
        self._first = iss + 1
        self._goal_most = config.max_segment_bytes
        self.accepted_bytes = 0
        self.fin_queued = self.fin_sent = self.fin_acked = False
        self._cwnd_limited = False
        self._round_end = iss + 1
        self._round_at, self._round_delivered = -inf, 0  # when it began, what was delivered by then
        self.delivery_rate = 0.0  # of the last round, bytes a second
        self._ecn_until = iss  # one reduction for a window of data: none before this is acknowledged
        self.cwr_due = False
        self._override = False  # one small segment may go despite silly-window avoidance
        self.timer_at = inf  # retransmission timeout or tail loss probe, whichever comes first
        self.timer_is_probe = False
        self.tail = TailProbe()
        self.persist = PersistTimer()
        self.retransmits = 0
        self.last_sent_at = -inf
        self._waiting_since = 0.0  # when an ACK last moved snd_una, or when what is out left
        self._busy_since = 0.0  # when something began to be out
        self.busy_s = 0.0  # and for how long something was
        self.total_retrans = self.bytes_retrans = self.dsack_dups = self.total_rto = 0
        self.delivered_bytes = self.delivered_ce_bytes = 0

    def begin(self, mss: int, sack_permitted: bool, window: int, seq: int) -> None:
        """The handshake is done: our SYN is acknowledged, `mss` is what a wire packet carries."""
        self.mss = mss
        self.sack_permitted = sack_permitted
        self._goal_most = self._largest()
        self.control = congestion_control(self.control.name, mss)
        self.recovery = Recovery(self.board, self.rtt, self.control, self._mib)
        self.snd_una = self._first
        self.snd_wnd = self.max_wnd = window
        self.snd_wl1 = seq

    def set_congestion(self, name: str) -> None:
        """TCP_CONGESTION: another control goes on with the windows of this one."""
        if name != self.control.name:
            self.control = self.recovery.control = congestion_control(name, self.mss, self.control)

    def set_max_pacing_rate(self, most: int) -> None:
        """SO_MAX_PACING_RATE. Once there was a limit, a connection stays paced without one, as Linux's."""
        if self.pacer is not None:
            self.pacer.most = most
        elif most != UNLIMITED:
            self.pacer = Pacer(most)

    def _largest(self) -> int:
        """Bytes of a super-segment of whole segments that fills the NIC's limit."""
        return max(self.mss, self._config.max_segment_bytes // self.mss * self.mss)

    @property
    def pacing_rate(self) -> int:
        """Bytes a second that Linux would pace at."""
        control, most = self.control, UNLIMITED if self.pacer is None else self.pacer.most
        window = max(control.cwnd, self.snd_nxt - self.snd_una)
        return pacing_rate(window, control.ssthresh, control.cwnd, self.rtt.srtt, most)

    @property
    def bytes_sent(self) -> int:
        """Payload bytes that have left, again or for the first time."""
        return self.accepted_bytes - self.queue.bytes + self.bytes_retrans

    @property
    def bytes_acked(self) -> int:
        """Payload bytes that the peer has acknowledged."""
        return max(0, self.snd_una - self._first - self.fin_acked)

    @property
    def in_flight(self) -> int:
        """Bytes believed to be in the network (the RFC's pipe)."""
        board = self.board
        return self.snd_nxt - self.snd_una - board.sacked_bytes - board.lost_bytes - board.reno_bytes

    # --- acknowledgements -------------------------------------------------------------------------

    def acknowledge(self, ack: int, seq: int, window: int, ts_ecr: int, now: float) -> None:
        """Take snd_una <= ack <= snd_nxt and the window (bytes) of a segment at `seq`."""
        una = self.snd_una
        if ack > una or seq > self.snd_wl1 or (seq == self.snd_wl1 and (window > self.snd_wnd or not window)):
            self._set_window(window, seq)
        self.persist.unanswered = 0
        if not window:
            self.retransmits = 0  # a peer that answers with a closed window is not gone
        if ack == una:
            return
        flight = self.in_flight
        self.snd_una = ack
        board, recovery = self.board, self.recovery
        board.first_try_end = 0
        if board.records:
            self._measure(board.records[0], ts_ecr, now)
        sacked = board.sacked_bytes
        newest = board.acknowledge(ack)
        self.delivered_bytes += ack - una - (sacked - board.sacked_bytes)
        if newest is not None:
            recovery.delivered(newest, now, ts_ecr)
        if self.fin_sent and ack == self.snd_nxt:
            self.fin_acked = True
        self.retransmits = 0
        self._waiting_since = now
        self.rtt.backoff = 0
        if recovery.phase is not Phase.OPEN:
            sacked += 1  # look for losses even if this ACK ends the episode
            self._in_episode(ack, una, ts_ecr)
        elif recovery.duplicates:
            recovery.forget_duplicates()
        if self.tail.acknowledged(ack, True, False):
            self._repaired_by_probe(now)
        if ack >= self._round_end:
            self._end_round(now)
        if recovery.phase is not Phase.RECOVERY:
            limited = self._cwnd_limited or (
                self.control.cwnd < self.control.ssthresh and self.control.cwnd < 2 * flight
            )
            self.control.on_ack(ack - una, now, self.rtt.srtt, limited)
        # What is older than this delivery may be lost, also where the ACK ends an episode or a hole.
        if (sacked or recovery.phase is not Phase.OPEN or recovery.reo_at != inf) and self.sack_permitted:
            recovery.detect(now, self.snd_nxt)
        self._arm(now)

    def _end_round(self, now: float) -> None:
        """All that was out when the round began is acknowledged; time in which nothing was does not count."""
        took = now - max(self._round_at, self._busy_since)
        if took > 0:
            self.delivery_rate = (self.delivered_bytes - self._round_delivered) / took
        self._round_at, self._round_delivered = now, self.delivered_bytes
        self._round_end = self.snd_nxt
        self.control.on_round(now)

    def _in_episode(self, ack: int, una: int, ts_ecr: int) -> None:
        """snd_una moved from `una` to `ack` while something counts as lost."""
        recovery, board = self.recovery, self.board
        if recovery.proves_needless(ts_ecr):
            self._mib.TcpExtTCPFullUndo += 1
            recovery.undo()
        elif recovery.proves_spurious(True, self.sack_permitted):
            recovery.undo()
        else:
            board.reno_bytes = max(0, board.reno_bytes - max(0, ack - una - self.mss))
            recovery.advanced(ack, self.mss, not self.sack_permitted)

    def _set_window(self, window: int, seq: int) -> None:
        if window and not self.snd_wnd and self.board.records and self.recovery.phase is Phase.LOSS:
            self.recovery.reopened()
        self.snd_wnd = window
        self.snd_wl1 = seq
        if window > self.max_wnd:
            self.max_wnd = window
        if window:
            self.persist.due = False

    def _measure(self, first: Record, ts_ecr: int, now: float) -> None:
        """Sample the round trip: by our clock if `first` was sent once, else by what the peer echoed."""
        if first.transmissions == 1:
            if not first.sacked:
                self.rtt.sample(now - first.sent_at)
                self.control.on_rtt(now - first.sent_at)
        elif ts_ecr:
            elapsed = stamp(now) - ts_ecr & MASK
            if elapsed < HALF:
                self.rtt.sample_echo(elapsed)

    def sacked(self, blocks: tuple[tuple[int, int], ...], ack: int, now: float) -> None:
        """Take SACK blocks (32 bits, as on the wire) of a segment that acknowledges `ack` <= snd_una."""
        una, nxt, recovery, board = self.snd_una, self.snd_nxt, self.recovery, self.board
        ranges = [(unwrap(left, una), unwrap(right, una)) for left, right in blocks]
        left, right = ranges[0]
        inside = len(ranges) > 1 and ranges[1][0] <= left and right <= ranges[1][1]
        if left < right and (right <= ack or inside):
            self._reported_twice(left, right, ack)
            del ranges[0]
        valid = tuple(each for each in ranges if una <= each[0] < each[1] <= nxt)
        before = board.sacked_bytes
        board.first_try_end = 0
        for record in board.mark_sacked(valid):
            recovery.delivered(record, now)
        if board.sacked_bytes or recovery.phase is not Phase.OPEN:
            self.delivered_bytes += board.sacked_bytes - before
            if recovery.proves_spurious(False, True):
                recovery.undo()
            recovery.detect(now, nxt)
            if self.timer_is_probe:
                self._arm(now)

    def _reported_twice(self, left: int, right: int, ack: int) -> None:
        """A D-SACK (RFC 2883), if it can be true."""
        oldest = self.snd_una - max(self.max_wnd, self._config.send_buffer_bytes)
        if not (oldest <= left and right <= self.snd_nxt) or (left, right) == self._last_d_sack:
            return
        self._last_d_sack = (left, right)  # a peer's TSO copies one report onto many packets
        self.dsack_dups += 1
        self._mib.TcpExtTCPDSACKRecv += 1
        if self.tail.resent and right == self.tail.end <= ack:
            self.tail.forget()
        else:
            self.recovery.duplicate_reported(left, right, self.snd_nxt, self.snd_una)

    def duplicate_ack(self, now: float) -> None:
        """An ACK that moved nothing while data is out; counts only if the peer has no SACK."""
        if not self.sack_permitted and self.board.records:
            self.recovery.duplicate(now, self.snd_nxt, self.mss)
        if self.tail.end and not self.sack_permitted:
            self.tail.acknowledged(self.snd_una, False, True)

    def _repaired_by_probe(self, now: float) -> None:
        """A loss, though nobody else noticed it (RFC 8985 section 7.4.2)."""
        self._mib.TcpExtTCPLossProbeRecovery += 1
        if self.recovery.phase is Phase.OPEN:
            self.control.on_loss(now)

    def echoed(self, acked: int, marked: bool, now: float) -> None:
        """Every ACK of a connection with ECN; `marked`: it carried ECE (RFC 3168 section 6.1.2)."""
        if not marked:
            return
        self.delivered_ce_bytes += acked
        self.control.on_marked(acked)
        if self.snd_una > self._ecn_until and self.recovery.phase is Phase.OPEN:
            self._ecn_until = self.snd_nxt
            self.cwr_due = True
            self.control.on_ecn(now)

    def path_mtu(self, mss: int, quoted: int, now: float) -> bool:
        """Cut smaller from now on, and again what was too large; False for what cannot be meant."""
        mss = max(mss, LEAST_PATH_MTU_PAYLOAD)
        if not self.snd_una <= quoted < self.snd_nxt or mss >= self.mss:
            return False
        self._set_mss(mss)
        if self.board.mark_large(quoted, mss):
            self.recovery.force = True
            self._arm(now)
        return True

    def widen(self, mss: int) -> None:
        """Cut larger from now on, if that is what `mss` means; a path that refuses it will say so again."""
        self._set_mss(max(self.mss, min(mss, self.mss_clamp)))

    def _set_mss(self, mss: int) -> None:
        self.mss = mss
        self._goal_most = self._largest()
        self.control.set_mss(mss)

    def _arm(self, now: float) -> None:
        """Restart the timer after new data was acknowledged or the timer went off (RFC 6298 section 5.3)."""
        self.timer_is_probe = False
        if not self.board.records:
            self.timer_at = inf
            self.busy_s += now - self._busy_since
            return
        rto = self.rtt.rto
        if (
            self.recovery.phase is Phase.OPEN
            and not self.tail.end
            and not self.board.sacked_bytes
            and self.sack_permitted
            and self.rtt.srtt
        ):
            probe = self.tail.timeout(self.rtt.srtt, self.snd_nxt - self.snd_una <= self.mss)
            if probe < rto:
                self.timer_is_probe = True
                rto = probe
        self.timer_at = now + rto
        if self.user_timeout_s and not self.timer_is_probe:
            self.timer_at = min(self.timer_at, max(now, self._waiting_since + self.user_timeout_s))
