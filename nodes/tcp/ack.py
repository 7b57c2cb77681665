"""Acknowledgements in: cumulative ACK, window, SACK blocks and ECE. What they change in the sender out.

RFC 9293 section 3.10.7.4 (fifth), RFC 6298, RFC 2018 and 2883, RFC 3168 section 6.1.2; net/ipv4/tcp_input.c
tcp_ack. Owns the round trips that it counts, and what it remembers between ACKs about D-SACK and ECE.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.mib import TcpMib
from nodes.tcp.recovery import REORDERING, Phase
from nodes.tcp.sack import SentSegment
from nodes.tcp.sender import Sender
from nodes.tcp.seq import HALF, MASK, ts_val, unwrap
from nodes.tcp.write_timer import WriteTimer


class AckInput:
    """Sequence numbers unwrapped, windows in bytes, times in monotonic seconds."""

    __slots__ = (
        "_ecn_reduced_until", "_last_dsack", "_mib", "_recovery", "_round_began_at", "_round_delivered",
        "_round_end", "_rtt", "_scoreboard", "_sender", "_tail_probe", "_write_timer", "delivered_ce",
        "delivery_rate", "dsack_dups", "ece",
    )  # fmt: skip

    def __init__(self, sender: Sender, write_timer: WriteTimer, mib: TcpMib) -> None:
        self._sender = sender
        self._scoreboard = sender.scoreboard
        self._recovery = sender.recovery
        self._rtt = sender.rtt
        self._tail_probe = sender.tail_probe
        self._write_timer = write_timer
        self._mib = mib
        # A round ends when what was in flight at its beginning is acknowledged.
        self._round_end = sender.snd_nxt
        self._round_began_at, self._round_delivered = -inf, 0
        self.delivery_rate = 0.0  # of the last round, bytes a second
        self.dsack_dups = 0
        self._last_dsack = (0, 0)
        self.ece = False  # the segment that is being taken carries ECE
        self.delivered_ce = 0  # wire packets that ACKs with ECE delivered
        self._ecn_reduced_until = sender.snd_una  # no second reduction before this is acknowledged

    def on_ack_received(self, ack: int, seq: int, window: int, ts_ecr: int, now: float) -> None:
        """Take snd_una <= ack <= snd_nxt and the window (bytes) of a segment whose sequence number is
        `seq`."""
        sender, timer = self._sender, self._write_timer
        una = sender.snd_una
        if (
            ack > una
            or seq > sender.snd_wl1
            or (seq == sender.snd_wl1 and (window > sender.snd_wnd or not window))
        ):
            self._update_window(window, seq)
        sender.persist.probes_out = 0
        if not window:
            timer.retransmits = 0  # a peer that answers with a zero window is alive
        if ack > una:
            self._on_snd_una_advanced(ack, una, ts_ecr, now)

    def _on_snd_una_advanced(self, ack: int, una: int, ts_ecr: int, now: float) -> None:
        """The segment acknowledges what was sent from `una` to `ack`."""
        sender, timer = self._sender, self._write_timer
        sender.snd_una = ack
        board, recovery = self._scoreboard, self._recovery
        board.orig_delivered_end = 0
        if board.segments:
            self._sample_rtt(board.segments[0], ts_ecr, now)
        sacked = board.sacked_bytes
        if sacked:
            recovery.on_reordering(*board.filled_hole(ack))
        newest = board.on_ack_received(ack, sender.mss)
        delivered = ack - una - (sacked - board.sacked_bytes)
        sender.delivered_bytes += delivered
        if self.ece:  # before the round ends (RFC 8257 section 3.3, steps 3 and 4)
            sender.control.on_ece_acked(delivered)
        if newest is not None:
            recovery.on_segment_delivered(newest, now, ts_ecr)
            if not board.retrans_acked:
                sender.control.on_rtt(now - newest.sent_at, ack, sender.snd_nxt, now)
        if sender.fin_sent and ack == sender.snd_nxt:
            sender.fin_acked = True
        timer.retransmits = 0
        sender.progress_at = now
        self._rtt.backoff = 0
        if recovery.phase is not Phase.OPEN:
            sacked += 1  # detect losses below even if this ACK ends the episode
            self._on_ack_in_episode(ack, una, ts_ecr)
            timer.end_rto(now)
        elif recovery.dupacks:
            recovery.reset_dupacks()
        if self._tail_probe.on_ack_received(ack, True, False):
            self._on_loss_probe_recovery(now)
        if ack >= self._round_end:
            self._end_round(now)
        if recovery.phase is not Phase.RECOVERY:
            self._grow_cwnd(delivered, now)
        # Segments older than this delivery may be lost, also if the ACK ended an episode or closed a hole.
        if (sacked or recovery.phase is not Phase.OPEN or recovery.reo_timeout_at != inf) and (
            sender.sack_permitted
        ):
            recovery.detect_losses(now, sender.snd_nxt)
        timer.arm(now)

    def _grow_cwnd(self, delivered: int, now: float) -> None:
        """Data was delivered outside recovery (tcp_cong_avoid, tcp_is_cwnd_limited)."""
        sender, control = self._sender, self._sender.control
        limited = sender.cwnd_limited or (
            control.cwnd < control.ssthresh and control.cwnd < 2 * sender.max_flight_bytes
        )
        control.on_ack(delivered, now, limited)

    def _end_round(self, now: float) -> None:
        """A round trip is over. The time in which nothing was in flight does not count for the rate."""
        sender = self._sender
        took = now - max(self._round_began_at, self._write_timer.busy_since)
        delivered = sender.delivered_bytes - self._round_delivered
        if took > 0:
            self.delivery_rate = delivered / took
        self._round_began_at, self._round_delivered = now, sender.delivered_bytes
        self._round_end = sender.snd_nxt
        sender.control.on_round(delivered, now)

    def _on_ack_in_episode(self, ack: int, una: int, ts_ecr: int) -> None:
        """snd_una advanced from `una` to `ack` inside a recovery episode."""
        sender = self._sender
        recovery, board = self._recovery, self._scoreboard
        if recovery.eifel_detects_spurious(ts_ecr):
            self._mib.TcpExtTCPFullUndo += 1
            if recovery.phase is Phase.RECOVERY:
                recovery.on_reordering(una, board.highest_sack() or ack)  # tcp_try_undo_partial
            recovery.undo()
        elif recovery.frto_detects_spurious(True, sender.sack_permitted):
            recovery.undo()
        else:
            board.reno_sacked_bytes = max(0, board.reno_sacked_bytes - max(0, ack - una - sender.mss))
            recovery.on_snd_una_advanced(ack, sender.mss, not sender.sack_permitted)

    def _update_window(self, window: int, seq: int) -> None:
        """RFC 9293 section 3.10.7.4 (tcp_ack_update_window)."""
        sender = self._sender
        if window and not sender.snd_wnd and self._scoreboard.segments and self._recovery.phase is Phase.LOSS:
            self._recovery.on_window_reopened()
        sender.snd_wnd = window
        sender.snd_wl1 = seq
        if window > sender.max_wnd:
            sender.max_wnd = window
        if window:
            sender.persist.probe_due = False

    def _sample_rtt(self, first: SentSegment, ts_ecr: int, now: float) -> None:
        """Measure the round trip: by our clock if `first` was sent once, else by the echoed timestamp."""
        if first.transmissions == 1:
            if not first.sacked:
                self._rtt.sample(now - first.sent_at)
        elif ts_ecr:
            elapsed_ms = ts_val(now) - ts_ecr & MASK
            if elapsed_ms < HALF:
                self._rtt.sample_ts_ecr(elapsed_ms)

    def on_duplicate_ack(self, now: float) -> None:
        """A bare ACK changed nothing. It counts if data is in flight and the peer has no SACK."""
        sender = self._sender
        if sender.sack_permitted:
            return
        if self._scoreboard.segments:
            self._recovery.on_duplicate_ack(now, sender.snd_nxt, sender.mss)
        if self._tail_probe.end_seq:
            self._tail_probe.on_ack_received(sender.snd_una, False, True)

    def on_sack_received(self, blocks: tuple[tuple[int, int], ...], ack: int, now: float) -> None:
        """Take SACK blocks (32 bits, as in the header) of a segment that acknowledges `ack` <= snd_una
        (tcp_sacktag_write_queue)."""
        sender = self._sender
        una, nxt, recovery, board = sender.snd_una, sender.snd_nxt, self._recovery, self._scoreboard
        ranges = [(unwrap(left, una), unwrap(right, una)) for left, right in blocks]
        left, right = ranges[0]
        inside_second = len(ranges) > 1 and ranges[1][0] <= left and right <= ranges[1][1]
        if left < right and (right <= ack or inside_second):
            self._on_dsack_received(left, right, ack)
            del ranges[0]
        valid = tuple(each for each in ranges if una <= each[0] < each[1] <= nxt)
        before = board.sacked_bytes
        board.orig_delivered_end = 0
        late = highest = board.highest_sack()
        for segment in board.on_sack_received(valid, sender.mss):
            recovery.on_segment_delivered(segment, now)
            if segment.seq < late and segment.transmissions == 1:
                late = segment.seq
        recovery.on_reordering(late, highest)
        if board.sacked_bytes or recovery.phase is not Phase.OPEN:
            sender.delivered_bytes += board.sacked_bytes - before
            if self.ece:
                sender.control.on_ece_acked(board.sacked_bytes - before)
            if recovery.frto_detects_spurious(False, True):
                recovery.undo()
            recovery.detect_losses(now, nxt)
            if recovery.reordering > REORDERING and recovery.phase is not Phase.RECOVERY:
                self._grow_cwnd(board.sacked_bytes - before, now)  # in any order (tcp_may_raise_cwnd)
            self._write_timer.end_rto(now)
            if self._write_timer.is_tail_probe:
                self._write_timer.arm(now)

    def _on_dsack_received(self, left: int, right: int, ack: int) -> None:
        """A D-SACK (RFC 2883; tcp_check_dsack). One that cannot be true is ignored."""
        sender = self._sender
        oldest = sender.snd_una - max(sender.max_wnd, sender.buffer.size)
        if not (oldest <= left and right <= sender.snd_nxt) or (left, right) == self._last_dsack:
            return
        self._last_dsack = (left, right)  # TSO copies one D-SACK onto every packet of a super-segment
        self.dsack_dups += -(-(right - left) // sender.mss)
        self._mib.TcpExtTCPDSACKRecv += 1
        if self.dsack_dups > sender.total_retrans:
            return  # the network duplicated it (tcp_dsack_seen)
        probe = self._tail_probe
        if probe.is_retrans and right == probe.end_seq <= ack:
            probe.reset()
        else:
            self._recovery.on_dsack_received(left, right, sender.snd_nxt, sender.snd_una)

    def _on_loss_probe_recovery(self, now: float) -> None:
        """The tail loss probe repaired a loss: cwnd is reduced for it (RFC 8985 section 7.4.2)."""
        self._mib.TcpExtTCPLossProbeRecovery += 1
        if self._recovery.phase is Phase.OPEN:
            self._sender.control.on_loss(now)

    def on_ece_received(self, packets: int, now: float) -> None:
        """An ACK that delivered so many packets carried ECE (RFC 3168 section 6.1.2): one reduction a window
        of data."""
        sender = self._sender
        self.ece = False
        self.delivered_ce += packets
        if sender.snd_una > self._ecn_reduced_until and self._recovery.phase is Phase.OPEN:
            self._ecn_reduced_until = sender.snd_nxt
            sender.cwr_due = True
            sender.control.on_ecn(now)
