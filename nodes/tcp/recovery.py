"""Deliveries and clock in; which records are lost, and what that does to the window, out. Owns the episode.

RFC 8985 (RACK: a segment is lost when one sent a reordering window later was delivered), RFC 6675 (episode),
RFC 6937 (the window meanwhile), RFC 5682 (F-RTO), RFC 4015 and 3708 (undo by timestamps and D-SACK);
net/ipv4/tcp_recovery.c. Without SACK: RFC 6582 and 3042.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf

from nodes.tcp.congestion.control import CongestionControl
from nodes.tcp.mib import TcpMib
from nodes.tcp.prr import ProportionalRate
from nodes.tcp.rtt import RttEstimator
from nodes.tcp.sack import Record, Scoreboard
from nodes.tcp.seq import precedes
from nodes.tcp.stamp import stamp

# Links that hop between processors reorder by hundreds of microseconds on paths of tens: a quarter of the
# least round trip alone, as the RFC has it, would take that for loss. Linux's timers have this grain too.
REORDERING_LEAST_S = 0.001
_REORDERING_KEPT = 16  # recoveries for which a widened reordering window persists
_DUPLICATES = 3
# Of the least round trip: what comes back sooner answers something else. Timestamps cannot tell of a SACK,
# as the ACK of an out-of-order segment echoes an older one.
_NO_ROUND_TRIP = 0.9


class Phase(IntEnum):
    """The kernel's tcp_ca_state numbers."""

    OPEN = 0
    RECOVERY = 3
    LOSS = 4


class Recovery:
    """One connection's loss detection. Times in seconds, sequence numbers unwrapped."""

    __slots__ = (
        "_board", "_frto", "_kept", "_mib", "_mult", "_mult_until", "_rack_end", "_rack_rtt",
        "_rack_sent_at", "_resent_stamp", "_rtt", "_undo_bytes", "_undo_from", "control", "duplicates",
        "force", "phase", "point", "prefer_new", "prr", "reo_at",
    )  # fmt: skip

    def __init__(self, board: Scoreboard, rtt: RttEstimator, control: CongestionControl, mib: TcpMib) -> None:
        self._board = board
        self._mib = mib
        self._rtt = rtt
        self.control = control
        self.phase = Phase.OPEN
        self.point = 0  # the episode ends when this is acknowledged
        self.reo_at = inf  # when a record now within the reordering window will count as lost
        self.force = False  # one retransmission is due whatever cwnd says (RFC 6675 section 5, step 4.3)
        self.prr: ProportionalRate | None = None  # while in RECOVERY
        self.prefer_new = False  # send new data now and not the old again (RFC 5682 section 2.1, step 2b)
        self._frto = False  # the timeout may have been spurious; not yet told
        self._rack_sent_at = -inf
        self._rack_end = 0
        self._rack_rtt = 0.0
        self._mult = 1  # reordering windows in units of min_rtt / 4 (section 6.2, step 4)
        self._mult_until = 0
        self._kept = 0
        self.duplicates = 0  # duplicate ACKs, counted only where SACK is not to be had
        self._undo_from = 0
        self._undo_bytes = 0  # retransmitted in this episode and not yet reported as a duplicate
        self._resent_stamp: int | None = None  # TSval of the episode's first retransmission

    def delivered(self, record: Record, now: float, ts_ecr: int = 0) -> None:
        """Learn from a record that arrived (section 6.2, step 2); `ts_ecr` of a cumulative ACK, else 0."""
        rtt = now - record.sent_at
        if record.transmissions > 1:
            early = ts_ecr and precedes(ts_ecr, stamp(record.sent_at))
            if early or rtt < _NO_ROUND_TRIP * self._rtt.min_rtt:
                return  # an earlier transmission arrived, not the one we would be timing
        sent_at = record.sent_at
        if sent_at > self._rack_sent_at or (sent_at == self._rack_sent_at and record.end > self._rack_end):
            self._rack_sent_at = sent_at
            self._rack_end = record.end
            self._rack_rtt = rtt

    @property
    def reordering_window(self) -> float:
        """Seconds by which a segment may arrive late and not be lost."""
        least = self._rtt.min_rtt / 4
        window = self._mult * (least if REORDERING_LEAST_S < least < inf else REORDERING_LEAST_S)
        return min(window, max(self._rtt.srtt, REORDERING_LEAST_S * self._mult))

    def detect(self, now: float, snd_nxt: int) -> None:
        """Mark as lost what was sent a reordering window before something that has arrived."""
        self.reo_at = inf
        late = self._rack_rtt + self.reordering_window
        latest, board, marked = self._rack_sent_at, self._board, False
        for record in board.records:
            if record.sacked or record.lost:
                continue
            if record.sent_at > latest or (record.sent_at == latest and record.end >= self._rack_end):
                if record.transmissions == 1:
                    break  # first transmissions lie in order of time: none behind this one is older
                continue
            deadline = record.sent_at + late
            if deadline <= now:
                board.mark_lost(record)
                marked = True
            elif deadline < self.reo_at:
                self.reo_at = deadline
        if marked and self.phase is Phase.OPEN:
            self._begin(Phase.RECOVERY, now, snd_nxt)

    def duplicate(self, now: float, snd_nxt: int, mss: int) -> None:
        """A duplicate ACK from a peer without SACK (RFC 6582 section 3.2)."""
        self._frto = self.prefer_new = False  # RFC 5682 section 2.1, steps 2a and 3a: a loss like any other
        self.duplicates += 1
        board = self._board
        board.reno_bytes = min(board.reno_bytes + mss, max(0, snd_nxt - board.records[0].seq - mss))
        if self.duplicates == _DUPLICATES and self.phase is Phase.OPEN:
            self._mark_head(mss)
            self._begin(Phase.RECOVERY, now, snd_nxt)

    def forget_duplicates(self) -> None:
        """snd_una moved outside an episode: duplicates count anew."""
        self.duplicates = self._board.reno_bytes = 0

    def _mark_head(self, mss: int) -> None:
        board = self._board
        head = board.records[0]
        if head.lost:
            return
        if head.end - head.fin - head.seq > mss:
            board.split(0, head.seq + mss)
        board.mark_lost(head)

    def advanced(self, ack: int, mss: int, without_sack: bool) -> None:
        """snd_una moved to `ack` inside an episode: end it, or without SACK resend the next hole."""
        self.duplicates = 0
        if ack >= self.point:
            if self.prr is not None:
                self.control.cwnd = self.control.ssthresh
            self._leave()
            if self._kept:
                self._kept -= 1
                if not self._kept:
                    self._mult = 1
        elif without_sack and self.phase is Phase.RECOVERY:
            self._mark_head(mss)
            self.force = True

    def timed_out(self, now: float, snd_nxt: int, mss: int) -> None:
        """The retransmission timer expired: all that was not reported is lost (RFC 6298 section 5.4)."""
        board = self._board
        if board.records and board.records[0].sacked:
            self._mib.TcpExtTCPSACKReneging += 1
            board.forget_sacks()
        for record in board.records:
            if not record.sacked and not record.lost:
                board.mark_lost(record)
        self.reo_at = inf
        self.prefer_new = False
        board.reno_bytes = 0
        if self.phase is not Phase.LOSS or board.records[0].transmissions == 1:
            self._begin(Phase.LOSS, now, snd_nxt)
            self._frto = True
        else:
            self.control.cwnd = mss  # RFC 5681 section 3.1: the threshold stays for a repeated timeout
        self.force = True

    def reopened(self) -> None:
        """A window that was shut while data was out has opened: what the peer dropped goes again at once."""
        head = self._board.records[0]
        if not head.lost and not head.sacked:
            self._board.mark_lost(head)
        self.force = True

    def _begin(self, phase: Phase, now: float, snd_nxt: int) -> None:
        board = self._board
        self.prr, self._frto = None, False
        if phase is Phase.LOSS:
            self.control.on_timeout(now)
        else:
            self.control.on_loss(now)
            self.force = True
            flight = snd_nxt - board.records[0].seq - board.sacked_bytes
            self.prr = ProportionalRate(flight)
            if board.sacked_bytes:
                self._mib.TcpExtTCPSackRecovery += 1
            else:
                self._mib.TcpExtTCPRenoRecovery += 1
        self.phase = phase
        self.point = snd_nxt
        self._undo_from = board.records[0].seq
        self._undo_bytes = 0
        self._resent_stamp = None

    def resent(self, record: Record, now: float) -> None:
        """A record was sent again: remember what could prove that needless."""
        self.force = False
        self._undo_bytes += record.end - record.seq
        if self.prr is not None:
            self.prr.sent(record.end - record.seq)
        if self._resent_stamp is None:
            self._resent_stamp = stamp(now)

    def proves_needless(self, ts_ecr: int) -> bool:
        """Whether new data was acknowledged by a segment that our retransmission cannot have caused."""
        first = self._resent_stamp
        return first is not None and ts_ecr != 0 and precedes(ts_ecr, first)

    def duplicate_reported(self, left: int, right: int, snd_nxt: int, snd_una: int) -> None:
        """A D-SACK for [left, right): widen the window once a round trip, undo if all was needless."""
        if snd_una >= self._mult_until:
            self._mult_until = snd_nxt
            self._mult = min(self._mult + 1, 64)
            self._kept = _REORDERING_KEPT
        if left >= self._undo_from and self._undo_bytes:
            self._undo_bytes -= right - left
            if self._undo_bytes <= 0:
                self._mib.TcpExtTCPDSACKUndo += 1
                self.undo()

    def undo(self) -> None:
        """The episode rests on a mistake: windows as before, nothing lost."""
        self._undo_bytes = 0
        self._resent_stamp = None
        self._board.forget_losses()
        self.control.undo()
        self._leave()

    def _leave(self) -> None:
        self.phase = Phase.OPEN
        self.force = self.prefer_new = self._frto = False
        self.prr = None
        self._board.reno_bytes = 0

    def reduce(self, delivered: int, in_flight: int, mss: int) -> None:
        """The window of an episode, before something is sent; `delivered` bytes in all since the start."""
        if self.prr is not None:
            control = self.control
            cwnd = self.prr.window(delivered, in_flight, control.ssthresh, mss)
            if cwnd is not None:
                control.cwnd = cwnd

    def proves_spurious(self, advanced: bool, with_sack: bool) -> bool:
        """F-RTO (RFC 5682 section 3.1): whether what arrived now was sent before the timeout and only then.

        Ask once an ACK, after the scoreboard has taken it; `advanced`: it moved snd_una.
        """
        if not self._frto:
            return False
        board = self._board
        original = 0 < board.first_try_end <= self.point and (with_sack or not board.retried)
        if original:
            self._mib.TcpExtTCPSpuriousRTOs += 1
            return True
        if self.prefer_new:
            self._frto = self.prefer_new = False  # the second ACK told nothing: a loss like any other
        elif advanced:
            self.prefer_new = True
        return False
