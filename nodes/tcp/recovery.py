"""Deliveries and time in; which segments are lost, and what that means for cwnd, out. Owns the recovery
episode.

RFC 8985 (RACK: a segment is lost when a segment sent a reordering window later was delivered), RFC 6675
(episode), RFC 9937 (cwnd meanwhile), RFC 5682 (F-RTO), RFC 4015 and 3708 (undo by timestamps and by D-SACK);
net/ipv4/tcp_recovery.c, tcp_fastretrans_alert and tcp_process_loss in net/ipv4/tcp_input.c. Without SACK: RFC
6582 and 3042.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf

from nodes.tcp.congestion.control import CongestionControl
from nodes.tcp.mib import TcpMib
from nodes.tcp.prr import ProportionalRate
from nodes.tcp.rtt import RttEstimator
from nodes.tcp.sack import Scoreboard, SentSegment
from nodes.tcp.seq import precedes, ts_val

# A path whose packets move between processors reorders by hundreds of microseconds at round trips of tens. A
# quarter of the minimum RTT alone, as the RFC has it, would take that for loss. In Linux the reordering timer
# expires no sooner than TCP_TIMEOUT_MIN, two jiffies.
REORDERING_MIN_S = 0.001
_REO_WND_PERSIST = 16  # TCP_RACK_RECOVERY_THRESH: recoveries for which a wider reordering window is kept
_DUPACK_THRESHOLD = 3
REORDERING, _REORDERING_MAX = 3, 300  # sysctls tcp_reordering, tcp_max_reordering
# Fraction of the minimum RTT: an ACK that comes sooner is not of the retransmission. For SACK timestamps
# cannot tell, since the ACK of an out-of-order segment echoes an older TSval.
_MIN_RTT_FRACTION = 0.9


class Phase(IntEnum):
    """tcp_ca_state, with the kernel's numbers."""

    OPEN = 0
    RECOVERY = 3
    LOSS = 4


class Recovery:
    """Loss detection and recovery of one connection. Times in seconds, sequence numbers unwrapped."""

    __slots__ = (
        "_frto", "_mib", "_rack_end_seq", "_rack_rtt", "_rack_sent_at", "_reo_wnd_persist", "_reo_wnd_round",
        "_reo_wnd_steps", "_retrans_stamp", "_rtt", "_scoreboard", "_undo_marker", "_undo_retrans", "control",
        "delivered_before", "dupacks", "force_retransmit", "phase", "prr", "recovery_point", "reo_timeout_at",
        "reord_seen", "reordering", "send_new_first",
    )  # fmt: skip

    def __init__(
        self, scoreboard: Scoreboard, rtt: RttEstimator, control: CongestionControl, mib: TcpMib
    ) -> None:
        self._scoreboard = scoreboard
        self._mib = mib
        self._rtt = rtt
        self.control = control
        self.phase = Phase.OPEN
        self.delivered_before = 0  # bytes delivered when segments could last leave
        self.recovery_point = 0  # the episode ends when this is acknowledged (high_seq)
        self.reo_timeout_at = inf  # when a segment inside the reordering window becomes lost
        self.force_retransmit = False  # one retransmission despite cwnd (RFC 6675 section 5, step 4.3)
        self.prr: ProportionalRate | None = None  # in Phase.RECOVERY
        self.send_new_first = False  # new data before retransmissions (RFC 5682 section 2.1, step 2b)
        self._frto = False  # the timeout may have been spurious: F-RTO waits for ACKs that tell
        self._rack_sent_at = -inf
        self._rack_end_seq = 0
        self._rack_rtt = 0.0
        self.reord_seen = 0  # how often what was sent once arrived after what was sent later
        self.reordering = REORDERING  # packets by which it was late, at most
        self._reo_wnd_steps = 1  # reordering window in units of min_rtt / 4 (section 6.2, step 4)
        self._reo_wnd_round = 0  # no further step before this is acknowledged
        self._reo_wnd_persist = 0
        self.dupacks = 0  # duplicate ACKs, counted only without SACK
        self._undo_marker = 0  # snd_una when the episode began
        self._undo_retrans = 0  # bytes retransmitted in this episode and not reported as duplicates
        self._retrans_stamp: int | None = None  # TSval of the episode's first retransmission

    # --- detection --------------------------------------------------------------------------------

    def on_segment_delivered(self, segment: SentSegment, now: float, ts_ecr: int = 0) -> None:
        """An ACK or SACK reports `segment` (section 6.2, step 2). `ts_ecr`: of a cumulative ACK, else 0."""
        rtt = now - segment.sent_at
        if segment.transmissions > 1:
            early = ts_ecr and precedes(ts_ecr, ts_val(segment.sent_at))
            if early or rtt < _MIN_RTT_FRACTION * self._rtt.min_rtt:
                return  # an earlier transmission arrived, and `sent_at` is of the last one
        sent_at = segment.sent_at
        if sent_at > self._rack_sent_at or (
            sent_at == self._rack_sent_at and segment.end > self._rack_end_seq
        ):
            self._rack_sent_at = sent_at
            self._rack_end_seq = segment.end
            self._rack_rtt = rtt

    def on_reordering(self, seq: int, highest: int) -> None:
        """`seq` was sent once and arrived after `highest`, which was sent later (tcp_check_sack_reordering).
        RACK asks only whether the path reorders; by how much is told by TCP_INFO."""
        if seq < highest:
            self.reord_seen += 1
            packets = -(-(highest - seq) // self.control.mss)
            self.reordering = max(self.reordering, min(packets, _REORDERING_MAX))

    @property
    def reordering_window(self) -> float:
        """Seconds by which a segment may be late without being lost (tcp_rack_reo_wnd). 0 on a path that was
        never seen to reorder, in an episode or once three segments are sacked."""
        if not self.reord_seen and (
            self.phase is not Phase.OPEN or self._scoreboard.sacks_reach(_DUPACK_THRESHOLD, self.control.mss)
        ):
            return 0.0
        rtt = self._rtt
        window = min(self._reo_wnd_steps * rtt.min_rtt / 4, rtt.srtt)
        return window if window > REORDERING_MIN_S else REORDERING_MIN_S

    def detect_losses(self, now: float, snd_nxt: int) -> None:
        """Mark segments lost that were sent a reordering window before one that was delivered
        (tcp_rack_mark_lost)."""
        self.reo_timeout_at = inf
        timeout = self._rack_rtt + self.reordering_window
        rack_sent_at, scoreboard, marked = self._rack_sent_at, self._scoreboard, False
        for segment in scoreboard.segments:
            if segment.sacked or segment.lost:
                continue
            if segment.sent_at > rack_sent_at or (
                segment.sent_at == rack_sent_at and segment.end >= self._rack_end_seq
            ):
                if segment.transmissions == 1:
                    break  # first transmissions are in order of time: none behind this one is older
                continue
            lost_at = segment.sent_at + timeout
            if lost_at <= now:
                scoreboard.mark_lost(segment)
                marked = True
            elif lost_at < self.reo_timeout_at:
                self.reo_timeout_at = lost_at
        if marked:
            if self.phase is Phase.OPEN:
                self._enter(Phase.RECOVERY, now, snd_nxt)
            elif self.prr is not None:
                self.prr.new_loss = True

    def on_duplicate_ack(self, now: float, snd_nxt: int, mss: int) -> None:
        """A duplicate ACK from a peer without SACK (RFC 6582 section 3.2)."""
        # RFC 5682 section 2.1, steps 2a and 3a: the timeout was not spurious
        self._frto = self.send_new_first = False
        self.dupacks += 1
        scoreboard = self._scoreboard
        scoreboard.reno_sacked_bytes = min(
            scoreboard.reno_sacked_bytes + mss, max(0, snd_nxt - scoreboard.segments[0].seq - mss)
        )
        if self.dupacks == _DUPACK_THRESHOLD and self.phase is Phase.OPEN:
            self._mark_head_lost(mss)
            self._enter(Phase.RECOVERY, now, snd_nxt)

    def reset_dupacks(self) -> None:
        """snd_una advanced outside an episode: count duplicate ACKs from 0."""
        self.dupacks = self._scoreboard.reno_sacked_bytes = 0

    def _mark_head_lost(self, mss: int) -> None:
        """Mark the first segment of `mss` bytes lost (tcp_mark_head_lost)."""
        scoreboard = self._scoreboard
        head = scoreboard.segments[0]
        if head.lost:
            return
        if head.end - head.fin - head.seq > mss:
            scoreboard.split(0, head.seq + mss)
        scoreboard.mark_lost(head)

    def on_retransmission_timeout(self, now: float, snd_nxt: int, mss: int) -> None:
        """All segments that were not sacked are lost (RFC 6298 section 5.4; tcp_enter_loss)."""
        scoreboard = self._scoreboard
        if scoreboard.segments and scoreboard.segments[0].sacked:
            self._mib.TcpExtTCPSACKReneging += 1
            scoreboard.clear_sacked()
        for segment in scoreboard.segments:
            if not segment.sacked and not segment.lost:
                scoreboard.mark_lost(segment)
        self.reo_timeout_at = inf
        self.send_new_first = False
        scoreboard.reno_sacked_bytes = 0
        if self.phase is not Phase.LOSS or scoreboard.segments[0].transmissions == 1:
            self._enter(Phase.LOSS, now, snd_nxt)
            self._frto = True
        else:
            self.control.cwnd = mss  # RFC 5681 section 3.1: a repeated timeout leaves ssthresh as it is
        self.force_retransmit = True

    def on_window_reopened(self) -> None:
        """The peer's window was zero with data in flight and has opened: retransmit what the peer dropped
        without waiting for a timer."""
        head = self._scoreboard.segments[0]
        if not head.lost and not head.sacked:
            self._scoreboard.mark_lost(head)
        self.force_retransmit = True

    # --- the episode ------------------------------------------------------------------------------

    def _enter(self, phase: Phase, now: float, snd_nxt: int) -> None:
        """Begin an episode: tcp_enter_recovery or tcp_enter_loss."""
        scoreboard = self._scoreboard
        self.prr, self._frto = None, False
        if phase is Phase.LOSS:
            self.control.on_timeout(now)
        else:
            self.control.on_loss(now)
            self.force_retransmit = True
            in_flight = snd_nxt - scoreboard.segments[0].seq - scoreboard.sacked_bytes
            self.prr = ProportionalRate(in_flight, scoreboard.segments[0].seq, self.delivered_before)
            if scoreboard.sacked_bytes:
                self._mib.TcpExtTCPSackRecovery += 1
            else:
                self._mib.TcpExtTCPRenoRecovery += 1
        self.phase = phase
        self.recovery_point = snd_nxt
        self._undo_marker = scoreboard.segments[0].seq
        self._undo_retrans = scoreboard.retrans_bytes()  # of an earlier episode, they may be duplicates too
        self._retrans_stamp = None

    def on_segment_retransmitted(self, segment: SentSegment, now: float) -> None:
        """Note what a later ACK needs to prove this retransmission unnecessary."""
        self.force_retransmit = False
        self._undo_retrans += segment.end - segment.seq
        if self.prr is not None:
            self.prr.on_bytes_sent(segment.end - segment.seq)
        if self._retrans_stamp is None:
            self._retrans_stamp = ts_val(now)

    def on_snd_una_advanced(self, ack: int, mss: int, without_sack: bool) -> None:
        """snd_una advanced to `ack` inside an episode: end the episode, or without SACK retransmit the next
        hole (a partial ACK, RFC 6582 section 3.2)."""
        self.dupacks = 0
        if ack >= self.recovery_point:
            if self.prr is not None:
                self.control.cwnd = self.control.ssthresh
            self._leave()
            if self._reo_wnd_persist:
                self._reo_wnd_persist -= 1
                if not self._reo_wnd_persist:
                    self._reo_wnd_steps = 1
        elif without_sack and self.phase is Phase.RECOVERY:
            self._mark_head_lost(mss)
            self.force_retransmit = True

    def update_cwnd(self, delivered_bytes: int, snd_una: int, in_flight: int, mss: int) -> None:
        """Set cwnd inside an episode, before segments are sent (tcp_cwnd_reduction). `delivered_bytes`: since
        the connection began."""
        if self.prr is not None:
            control = self.control
            cwnd = self.prr.cwnd(delivered_bytes, snd_una, in_flight, control.ssthresh, mss)
            if cwnd is not None:
                control.cwnd = cwnd

    def _leave(self) -> None:
        self.phase = Phase.OPEN
        self.force_retransmit = self.send_new_first = self._frto = False
        self.prr = None
        self._scoreboard.reno_sacked_bytes = 0

    # --- spurious retransmissions -----------------------------------------------------------------

    def eifel_detects_spurious(self, ts_ecr: int) -> bool:
        """Whether the ACK of new data echoes a TSval from before our first retransmission (RFC 3522)."""
        stamp = self._retrans_stamp
        return stamp is not None and ts_ecr != 0 and precedes(ts_ecr, stamp)

    def frto_detects_spurious(self, snd_una_advanced: bool, with_sack: bool) -> bool:
        """F-RTO (RFC 5682 section 3.1): whether the ACK reports a segment that was sent before the timeout
        and not retransmitted. Ask once for each ACK, after the scoreboard has taken it."""
        if not self._frto:
            return False
        scoreboard = self._scoreboard
        original = 0 < scoreboard.orig_delivered_end <= self.recovery_point and (
            with_sack or not scoreboard.retrans_acked
        )
        if original:
            self._mib.TcpExtTCPSpuriousRTOs += 1
            return True
        if self.send_new_first:
            self._frto = self.send_new_first = False  # the second ACK did not tell: treat it as a real loss
        elif snd_una_advanced:
            self.send_new_first = True
        return False

    def on_dsack_received(self, left: int, right: int, snd_nxt: int, snd_una: int) -> None:
        """A D-SACK for [left, right): on a path that reorders, widen the reordering window once a round trip;
        undo the episode if all of its retransmissions were duplicates."""
        if self.reord_seen and snd_una >= self._reo_wnd_round:
            self._reo_wnd_round = snd_nxt
            self._reo_wnd_steps = min(self._reo_wnd_steps + 1, 64)
            self._reo_wnd_persist = _REO_WND_PERSIST
        # Beyond snd_una we know what was retransmitted: the network duplicated the rest.
        again = right - left if right <= snd_una else self._scoreboard.retrans_bytes(left, right)
        if right > self._undo_marker and self._undo_retrans and again:
            self._undo_retrans -= again
            if self._undo_retrans <= 0:
                self._mib.TcpExtTCPDSACKUndo += 1
                # What was taken for lost was late. (Linux does not count that, and is deceived again each
                # time that three segments overtake one.)
                self.reord_seen += 1
                self.undo()

    def undo(self) -> None:
        """The episode was spurious: restore cwnd and ssthresh, count nothing as lost
        (tcp_undo_cwnd_reduction)."""
        self._undo_retrans = 0
        self._retrans_stamp = None
        self._scoreboard.clear_lost()
        self.control.undo()
        self._leave()
