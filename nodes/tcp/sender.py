"""Payload from the application and time in, transmissions out. What ACKs do is `outstanding`'s.

RFC 9293 sections 3.7.4 and 3.8.4 to 3.8.6 (Nagle, zero window, silly window), RFC 6298 section 5, RFC 8985
section 7 (tail loss probe); net/ipv4/tcp_output.c tcp_write_xmit, net/ipv4/tcp_timer.c.
"""

from __future__ import annotations

from math import inf

from nodes.tcp.congestion.control import INITIAL_WINDOW_SEGMENTS
from nodes.tcp.outstanding import Outstanding
from nodes.tcp.pacing import UNPACED_SEGMENTS
from nodes.tcp.persist import PROBES_MOST
from nodes.tcp.recovery import Phase
from nodes.tcp.sack import Record

RETRIES = 15  # tcp_retries2


class Sender(Outstanding):
    """The sending half. Sequence numbers unwrapped, windows in bytes, times in seconds."""

    __slots__ = ()

    def push_out(self) -> None:
        """One small segment may leave now, whatever holds it back."""
        self._override = bool(self.queue.bytes)

    # --- timers -----------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """The earliest of the sender's deadlines; inf if there is none."""
        at = self.timer_at
        if self.pacer is not None and self.pacer.wake_at < at:
            at = self.pacer.wake_at
        if self.recovery.reo_at < at:
            at = self.recovery.reo_at
        return at if at < self.persist.at else self.persist.at

    def handle_timeout(self, now: float) -> bool:
        """Act on what has expired; False: the peer is gone, give up."""
        if self.pacer is not None and self.pacer.wake_at <= now:
            self.pacer.wake_at = inf
        if self.recovery.reo_at <= now:
            self.recovery.detect(now, self.snd_nxt)
        if self.persist.at <= now:
            return self._probe_window(now)
        if self.timer_at > now or not self.board.records:
            return True
        if self.timer_is_probe:
            self._mib.TcpExtTCPLossProbes += 1
            self.tail.due = True
            self.tail.end = self.snd_nxt
            self._arm(now)
            return True
        if self.retransmits >= RETRIES or self._waited_too_long(now, self._waiting_since):
            return False
        self._mib.TcpExtTCPTimeouts += 1
        self.total_rto += 1
        self.retransmits += 1
        self.rtt.backoff += 1
        self.tail.forget()
        self.recovery.timed_out(now, self.snd_nxt, self.mss)
        if self.pacer is not None:
            self.pacer.timed_out = True
        self._arm(now)
        return True

    def _waited_too_long(self, now: float, since: float) -> bool:
        """RFC 9293 section 3.8.3: the user timeout, where there is one."""
        return self.user_timeout_s > 0 and now >= since + self.user_timeout_s

    def _probe_window(self, now: float) -> bool:
        persist = self.persist
        if persist.unanswered >= PROBES_MOST or self._waited_too_long(now, persist.since):
            return False
        if self.snd_wnd > self.snd_nxt - self.snd_una:
            self._override = True  # RFC 9293 section 3.8.6.2.1, rule 4: the window is small but open
        else:
            persist.due = True
            persist.unanswered += 1
        persist.again(now, self.rtt.rto)
        return True

    # --- transmission -----------------------------------------------------------------------------

    def transmit_paced(self, now: float, limit: int, data_segs_out: int) -> list[Record]:
        """`transmit` of a connection with a pacer: only what may leave by now. `data_segs_out`: wire packets
        with payload that have left before."""
        pacer, out = self.pacer, list[Record]()
        assert pacer is not None
        idle = self.timer_at == inf
        pacer.rate = self.pacing_rate
        self._goal_most = min(self._largest(), pacer.burst(self.mss))
        while (pacer.at <= now or pacer.timed_out) and len(out) < limit:
            records = self.transmit(now, 1)
            pacer.timed_out = False
            if not records:
                pacer.wait(False)
                break
            out += records
            length = sum(record.end - record.fin - record.seq for record in records)
            data_segs_out += -(-length // self.mss)
            if data_segs_out > UNPACED_SEGMENTS:
                pacer.sent(length, now)
        else:
            unsent = self.queue.bytes or self.board.lost_bytes or self.fin_queued > self.fin_sent
            pacer.wait(bool(unsent) or self.tail.due)
        if idle and len(out) > 1:
            self._arm(now)  # the first of them was not alone: a probe may go sooner
        return out

    def transmit(self, now: float, limit: int) -> list[Record]:
        """At most `limit` records to put on the wire now, already counted as sent."""
        out: list[Record] = []
        board, recovery = self.board, self.recovery
        if recovery.phase is not Phase.OPEN:
            recovery.reduce(self.delivered_bytes, self.in_flight, self.mss)
            if recovery.prefer_new:
                self._send_new(now, limit, out)
        if board.lost_bytes and not (out and recovery.prefer_new):
            self._resend_lost(now, limit, out)
        if self.tail.due:
            self._probe_tail(now, out)
        if self.queue.bytes and not board.lost_bytes:
            self._send_new(now, limit, out)
        if self.fin_queued and not self.queue.bytes and not self.fin_sent:
            self._send_fin(now, out)
        if out:
            if self.timer_at == inf:
                self._waiting_since = self._busy_since = now
                self._arm(now)
            self.last_sent_at = now
        if board.records:
            if self.persist.at != inf:
                self.persist.rest()
        elif (self.queue.bytes or self.fin_queued > self.fin_sent) and self.persist.at == inf:
            self.persist.start(now, self.rtt.rto, self.cork and self.snd_wnd >= self.mss)
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
            recovery.resent(record, now)
            out.append(record)

    def _resend(self, record: Record, now: float) -> None:
        length = record.end - record.seq
        packets = (length + self.mss - 1) // self.mss
        self.total_retrans += packets
        self._mib.TcpRetransSegs += packets
        self.bytes_retrans += length
        self.board.resent(record, now)

    def _probe_tail(self, now: float, out: list[Record]) -> None:
        """RFC 8985 section 7.3: new data if the window allows it, else the last segment again."""
        self.tail.due = False
        records = self.board.records
        if not records:
            self.tail.forget()
            return
        room = self.snd_una + self.snd_wnd - self.snd_nxt
        if self.queue.bytes and room >= min(self.mss, self.queue.bytes):
            out.append(self._send(min(self.mss, self.queue.bytes), now))
            self.tail.sent(self.snd_nxt, resent=False)
            return
        last = records[-1]
        if last.end - last.fin - last.seq > self.mss:
            self.board.split(len(records) - 1, last.end - last.fin - self.mss)
            last = records[-1]
        self._resend(last, now)
        self.tail.sent(self.snd_nxt, resent=True)
        out.append(last)

    def _send_new(self, now: float, limit: int, out: list[Record]) -> None:
        mss, queue = self.mss, self.queue
        if not self.board.records:
            self._restart_if_idle(now)
        cwnd = self.control.cwnd
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
            elif length < mss and not self._may_send_small(flight):
                return
            out.append(self._send(length, now))

    def _restart_if_idle(self, now: float) -> None:
        """Nothing is out and nothing was for long: what the path had room for is no longer known.

        RFC 5681 section 4.1 with RFC 2861's decay: half of cwnd for each timeout, not below the initial
        window; net/ipv4/tcp_output.c tcp_cwnd_restart.
        """
        idle, rto, control = now - self.last_sent_at, self.rtt.rto, self.control
        if not rto < idle < inf:
            return
        least = min(control.cwnd, INITIAL_WINDOW_SEGMENTS * self.mss)
        if control.cwnd > least:
            control.ssthresh = max(control.ssthresh, control.cwnd * 3 // 4)
            control.cwnd = max(least, control.cwnd >> min(64, int(idle / rto)))

    def _may_send_small(self, flight: int) -> bool:
        """Whether less than a full segment may leave: TCP_CORK, then Nagle (RFC 9293 section 3.7.4)."""
        if self.fin_queued:
            return True
        if self.cork or (flight and not self.nodelay):
            allowed, self._override = self._override, False
            return allowed
        return True

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
        if self.recovery.prr is not None:
            self.recovery.prr.sent(length)
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
        self.timer_at = self.recovery.reo_at = inf
        self.persist.rest()
        self.persist.due = False
        if self.pacer is not None:
            self.pacer.wake_at = inf
        self.tail.forget()
