"""Payload from the application and acknowledgements in, transmissions out. Owns what was not acknowledged.

RFC 9293 sections 3.8.4 to 3.8.6 (retransmission, zero window, silly window), RFC 6298, RFC 8985 section 7
(tail loss probe); net/ipv4/tcp_output.c tcp_write_xmit, net/ipv4/tcp_timer.c.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.config import TcpConfig
from nodes.tcp.congestion.control import CongestionControl, congestion_control
from nodes.tcp.recovery import Phase, Recovery
from nodes.tcp.rtt import RTO_MAX_S, RttEstimator
from nodes.tcp.sack import Record, Scoreboard
from nodes.tcp.send_queue import SendQueue
from nodes.tcp.seq import HALF, MASK, unwrap

RETRIES = 15  # tcp_retries2
_PEER_DELAY_S = 0.2  # how long a peer may sit on the ACK of a lone segment
_PROBE_LEAST_S = 0.01  # a peer that is a Python process pauses this long for no reason at all


def stamp(now: float) -> int:
    """TSval of the moment: milliseconds, never 0 at the start (peers take an echo of 0 for none)."""
    return int(now * 1000) + 1 & MASK


class Sender:
    """The sending half. Sequence numbers unwrapped, windows in bytes, times in seconds."""

    __slots__ = (
        "_config", "_cwnd_limited", "_first", "_goal_most", "_last_d_sack", "_override", "_tail_end",
        "_tail_probe", "_tail_resent", "accepted_bytes", "board", "bytes_retrans", "control",
        "delivered_bytes", "dsack_dups", "fin_acked", "fin_queued", "fin_sent", "max_wnd", "mss", "nodelay",
        "persist_at", "persist_backoff", "probe_due", "probes", "queue", "recovery", "retransmits", "rtt",
        "sack_permitted", "snd_nxt", "snd_una", "snd_wl1", "snd_wnd", "timer_at", "timer_is_probe",
        "total_retrans",
    )  # fmt: skip

    def __init__(self, config: TcpConfig, iss: int) -> None:
        self._config = config
        self.snd_una = iss
        self._last_d_sack = (0, 0)
        self.snd_nxt = iss + 1  # the SYN; it has no record, the handshake repeats it
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.max_wnd = 0
        self.mss = config.mss
        self.nodelay = config.nodelay
        self.sack_permitted = False
        self.queue = SendQueue()
        self.board = Scoreboard()
        self.rtt = RttEstimator()
        self.control: CongestionControl = congestion_control(config.congestion, config.mss)
        self.recovery = Recovery(self.board, self.rtt, self.control)
        self._first = iss + 1
        self._goal_most = config.max_segment_bytes
        self.accepted_bytes = 0
        self.fin_queued = self.fin_sent = self.fin_acked = False
        self._cwnd_limited = False
        self._override = False  # one small segment may go despite silly-window avoidance
        self.timer_at = inf  # retransmission timeout or tail loss probe, whichever comes first
        self.timer_is_probe = False
        self._tail_probe = False
        self._tail_end = 0  # snd_nxt when the tail was probed; 0: no probe out
        self._tail_resent = False
        self.persist_at = inf
        self.persist_backoff = 0
        self.probe_due = False
        self.probes = 0
        self.retransmits = 0
        self.total_retrans = self.bytes_retrans = self.dsack_dups = self.delivered_bytes = 0

    def begin(self, mss: int, sack_permitted: bool, window: int, seq: int) -> None:
        """The handshake is done: our SYN is acknowledged, `mss` is what a wire packet carries."""
        self.mss = mss
        self.sack_permitted = sack_permitted
        self._goal_most = max(mss, self._config.max_segment_bytes // mss * mss)
        self.control = congestion_control(self._config.congestion, mss)
        self.recovery = Recovery(self.board, self.rtt, self.control)
        self.snd_una = self._first
        self.snd_wnd = self.max_wnd = window
        self.snd_wl1 = seq

    @property
    def bytes_acked(self) -> int:
        """Payload bytes that the peer has acknowledged."""
        return max(0, self.snd_una - self._first - self.fin_acked)

    @property
    def in_flight(self) -> int:
        """Bytes believed to be in the network (the RFC's pipe)."""
        return self.snd_nxt - self.snd_una - self.board.sacked_bytes - self.board.lost_bytes

    # --- acknowledgements -------------------------------------------------------------------------

    def acknowledge(self, ack: int, seq: int, window: int, ts_ecr: int, now: float) -> None:
        """Take snd_una <= ack <= snd_nxt and the window (bytes) of a segment at `seq`."""
        una = self.snd_una
        if ack > una or seq > self.snd_wl1 or (seq == self.snd_wl1 and (window > self.snd_wnd or not window)):
            self._set_window(window, seq)
        self.probes = 0
        if not window:
            self.retransmits = 0  # a peer that answers with a closed window is not gone
        if ack == una:
            return
        flight = self.in_flight
        self.snd_una = ack
        board, recovery = self.board, self.recovery
        if board.records:
            self._measure(board.records[0], ts_ecr, now)
        sacked = board.sacked_bytes
        newest = board.acknowledge(ack)
        self.delivered_bytes += ack - una - (sacked - board.sacked_bytes)
        if newest is not None:
            recovery.delivered(newest, now)
        if self.fin_sent and ack == self.snd_nxt:
            self.fin_acked = True
        self.retransmits = 0
        self.rtt.backoff = 0
        if recovery.phase is not Phase.OPEN:
            if recovery.proves_needless(ts_ecr):
                recovery.undo()
            else:
                recovery.advanced(ack, self.mss, not self.sack_permitted)
        if self._tail_end and ack >= self._tail_end and (ack > self._tail_end or not self._tail_resent):
            self._end_tail_probe(ack, now)
        if recovery.phase is not Phase.RECOVERY:
            limited = self._cwnd_limited or (
                self.control.cwnd < self.control.ssthresh and self.control.cwnd < 2 * flight
            )
            self.control.on_ack(ack - una, now, self.rtt.srtt, limited)
        if board.sacked_bytes or recovery.phase is not Phase.OPEN:
            recovery.detect(now, self.snd_nxt)
        else:
            recovery.reo_at = inf
        self._arm(now)

    def _set_window(self, window: int, seq: int) -> None:
        if window and not self.snd_wnd and self.board.records and self.recovery.phase is Phase.LOSS:
            self.recovery.reopened()
        self.snd_wnd = window
        self.snd_wl1 = seq
        if window > self.max_wnd:
            self.max_wnd = window
        if window:
            self.probe_due = False

    def _measure(self, first: Record, ts_ecr: int, now: float) -> None:
        """Sample the round trip: by our clock if `first` was sent once, else by what the peer echoed."""
        if first.transmissions == 1:
            if not first.sacked:
                self.rtt.sample(now - first.sent_at)
        elif ts_ecr:
            elapsed = stamp(now) - ts_ecr & MASK
            if elapsed < HALF:
                self.rtt.sample_echo(elapsed)

    def sacked(self, blocks: tuple[tuple[int, int], ...], ack: int, now: float) -> None:
        """Take SACK blocks (32 bits, as on the wire) of a segment that acknowledges `ack` <= snd_una."""
        una, nxt, recovery = self.snd_una, self.snd_nxt, self.recovery
        ranges = [(unwrap(left, una), unwrap(right, una)) for left, right in blocks]
        left, right = ranges[0]
        inside = len(ranges) > 1 and ranges[1][0] <= left and right <= ranges[1][1]
        if left < right and (right <= ack or inside):
            oldest = una - max(self.max_wnd, self._config.send_buffer_bytes)
            if oldest <= left and right <= nxt and ranges[0] != self._last_d_sack:
                self._last_d_sack = (left, right)  # a peer's TSO copies one report onto many packets
                self.dsack_dups += 1
                if self._tail_resent and right == self._tail_end:
                    self._tail_end, self._tail_resent = 0, False
                else:
                    recovery.duplicate_reported(left, right, nxt, una)
            del ranges[0]
        valid = tuple(each for each in ranges if una <= each[0] < each[1] <= nxt)
        before = self.board.sacked_bytes
        for record in self.board.mark_sacked(valid):
            recovery.delivered(record, now)
        if self.board.sacked_bytes or recovery.phase is not Phase.OPEN:
            self.delivered_bytes += self.board.sacked_bytes - before
            recovery.detect(now, nxt)
            if self.timer_is_probe:
                self._arm(now)

    def duplicate_ack(self, now: float) -> None:
        """An ACK that moved nothing while data is out; counts only if the peer has no SACK."""
        if not self.sack_permitted and self.board.records:
            self.recovery.duplicate(now, self.snd_nxt, self.mss)

    def _end_tail_probe(self, ack: int, now: float) -> None:
        """RFC 8985 section 7.4.2: a probe that was a retransmission and filled a hole was a loss."""
        if self._tail_resent and ack > self._tail_end and self.recovery.phase is Phase.OPEN:
            self.control.on_loss(now)
        self._tail_end = 0
        self._tail_resent = False

    # --- timers -----------------------------------------------------------------------------------

    def _arm(self, now: float) -> None:
        """Restart the timer after new data was acknowledged or the timer went off (RFC 6298 section 5.3)."""
        self.timer_is_probe = False
        if not self.board.records:
            self.timer_at = inf
            return
        rto = self.rtt.rto
        if (
            self.recovery.phase is Phase.OPEN
            and not self._tail_end
            and not self.board.sacked_bytes
            and self.sack_permitted
            and self.rtt.srtt
        ):
            probe = 2 * self.rtt.srtt
            probe += _PEER_DELAY_S if self.snd_nxt - self.snd_una <= self.mss else _PROBE_LEAST_S
            if probe < rto:
                self.timer_is_probe = True
                rto = probe
        self.timer_at = now + rto

    def next_timeout(self) -> float:
        """The earliest of the sender's deadlines; inf if there is none."""
        at = self.timer_at
        if self.recovery.reo_at < at:
            at = self.recovery.reo_at
        return at if at < self.persist_at else self.persist_at

    def handle_timeout(self, now: float) -> bool:
        """Act on what has expired; False: the peer is gone, give up."""
        if self.recovery.reo_at <= now:
            self.recovery.detect(now, self.snd_nxt)
        if self.persist_at <= now:
            return self._persist(now)
        if self.timer_at > now or not self.board.records:
            return True
        if self.timer_is_probe:
            self._tail_probe = True
            self._tail_end = self.snd_nxt
            self._arm(now)
            return True
        if self.retransmits >= RETRIES:
            return False
        self.retransmits += 1
        self.rtt.backoff += 1
        self._tail_end = 0
        self._tail_resent = False
        self.recovery.timed_out(now, self.snd_nxt, self.mss)
        self._arm(now)
        return True

    def _persist(self, now: float) -> bool:
        if self.probes >= RETRIES:
            return False
        if self.snd_wnd > self.snd_nxt - self.snd_una:
            self._override = True  # RFC 9293 section 3.8.6.2.1, rule 4: the window is small but open
        else:
            self.probe_due = True
            self.probes += 1
        self.persist_backoff += 1
        self.persist_at = now + self._persist_interval()
        return True

    def _persist_interval(self) -> float:
        return min(self.rtt.rto * (1 << min(self.persist_backoff, 16)), RTO_MAX_S)

    # --- transmission -----------------------------------------------------------------------------

    def transmit(self, now: float, limit: int) -> list[Record]:
        """At most `limit` records to put on the wire now, already counted as sent."""
        out: list[Record] = []
        if self.board.lost_bytes:
            self._resend_lost(now, limit, out)
        if self._tail_probe:
            self._probe_tail(now, out)
        if self.queue.bytes and not self.board.lost_bytes:
            self._send_new(now, limit, out)
        if self.fin_queued and not self.queue.bytes and not self.fin_sent:
            self._send_fin(now, out)
        if out and self.timer_at == inf:
            self._arm(now)
        if self.board.records:
            self.persist_at = inf
            self.persist_backoff = 0
        elif (self.queue.bytes or self.fin_queued > self.fin_sent) and self.persist_at == inf:
            self.persist_at = now + self._persist_interval()
        return out

    def _resend_lost(self, now: float, limit: int, out: list[Record]) -> None:
        recovery, mss = self.recovery, self.mss
        while len(out) < limit:
            room = (self.control.cwnd - self.in_flight) // mss * mss
            if room < mss:
                if not recovery.force:
                    return
                room = mss
            record = self.board.next_lost(min(room, self._goal_most))
            if record is None:
                return
            self._resend(record, now)
            recovery.resent(record, stamp(now))
            out.append(record)

    def _resend(self, record: Record, now: float) -> None:
        length = record.end - record.seq
        self.total_retrans += (length + self.mss - 1) // self.mss
        self.bytes_retrans += length
        self.board.resent(record, now)

    def _probe_tail(self, now: float, out: list[Record]) -> None:
        """RFC 8985 section 7.3: new data if the window allows it, else the last segment again."""
        self._tail_probe = False
        records = self.board.records
        if not records:
            self._tail_end = 0
            return
        room = self.snd_una + self.snd_wnd - self.snd_nxt
        if self.queue.bytes and room >= min(self.mss, self.queue.bytes):
            out.append(self._send(min(self.mss, self.queue.bytes), now))
            self._tail_end = self.snd_nxt
            return
        last = records[-1]
        if last.end - last.fin - last.seq > self.mss:
            self.board.split(len(records) - 1, last.end - last.fin - self.mss)
            last = records[-1]
        self._tail_resent = True
        self._resend(last, now)
        out.append(last)

    def _send_new(self, now: float, limit: int, out: list[Record]) -> None:
        mss, cwnd, queue = self.mss, self.control.cwnd, self.queue
        self._cwnd_limited = False
        # A third of a window is worth waiting for, and no more than that may go at once: smaller
        # super-segments waste the CPU, larger ones leave nothing in flight that brings the next ACK.
        goal = min(self._goal_most, max(mss, min(cwnd, self.snd_wnd) // 3 // mss * mss))
        while len(out) < limit and queue.bytes:
            flight = self.in_flight
            usable = self.snd_una + self.snd_wnd - self.snd_nxt
            room = cwnd - flight
            wanted = queue.bytes if queue.bytes < goal else goal
            if room < wanted and room < usable:
                self._cwnd_limited = True
            length = min(wanted, usable, room)
            if length < wanted and not self._worth_sending(length, usable, flight):
                return
            if length < queue.bytes and length > mss:
                length -= length % mss
            elif length < mss and flight and not (self.nodelay or self.fin_queued):
                return  # Nagle
            out.append(self._send(length, now))

    def _worth_sending(self, length: int, usable: int, flight: int) -> bool:
        """Silly-window avoidance and patience (RFC 9293 section 3.8.6.2.1; tcp_tso_should_defer)."""
        if length <= 0:
            return False
        if flight:
            return length >= self.mss and self.recovery.phase is not Phase.OPEN
        if length >= self.mss or (length == usable and 2 * length >= self.max_wnd):
            return True
        allowed, self._override = self._override, False
        return allowed

    def _send(self, length: int, now: float) -> Record:
        payload = self.queue.take(length)
        record = self.board.sent(self.snd_nxt, payload, self._fin_fits(len(payload)), now)
        self.snd_nxt = record.end
        return record

    def _fin_fits(self, length: int) -> int:
        """1 if the FIN can ride on a segment of `length` that empties the queue."""
        if not self.fin_queued or self.queue.bytes or self.snd_nxt + length >= self.snd_una + self.snd_wnd:
            return 0
        self.fin_sent = True
        return 1

    def _send_fin(self, now: float, out: list[Record]) -> None:
        if self.snd_nxt < self.snd_una + self.snd_wnd:
            self.fin_sent = True
            out.append(self.board.sent(self.snd_nxt, None, 1, now))
            self.snd_nxt += 1

    def clear(self) -> None:
        """Release everything and stop the timers."""
        self.queue.clear()
        self.board.clear()
        self.timer_at = self.persist_at = self.recovery.reo_at = inf
        self.probe_due = self._tail_probe = False
