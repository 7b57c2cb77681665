"""Queued payload and time in, segments to transmit out: what may leave now, new or retransmitted.

RFC 9293 sections 3.7.4 and 3.8.4 to 3.8.6 (Nagle, zero window, silly window), RFC 6675, RFC 8985 section 7.3
(tail loss probe); net/ipv4/tcp_output.c tcp_write_xmit, tcp_xmit_retransmit_queue. `output` adds headers.
Owns nothing but the rules: what it changes is the sender's.
"""

from __future__ import annotations

from math import inf
from typing import Final

from nodes.tcp.chrono import Limit
from nodes.tcp.congestion.control import INITIAL_WINDOW_SEGMENTS
from nodes.tcp.mib import TcpMib
from nodes.tcp.pacing import TSO_RTT_S, UNPACED_SEGMENTS, tso_autosize
from nodes.tcp.recovery import Phase
from nodes.tcp.sack import SentSegment
from nodes.tcp.sender import Sender
from nodes.tcp.write_timer import WriteTimer

_DEFER_S: Final = 0.001  # a segment is deferred for an ACK due within this, this long after the last one
_TSO_WIN_DIVISOR: Final = 3  # sysctl tcp_tso_win_divisor


class Xmit:
    """Sequence numbers unwrapped, windows in bytes, times in monotonic seconds."""

    __slots__ = (
        "_mib", "_persist", "_queue", "_recovery", "_rwnd_limited", "_scoreboard", "_sender", "_tail_probe",
        "_write_timer",
    )  # fmt: skip

    def __init__(self, sender: Sender, write_timer: WriteTimer, mib: TcpMib) -> None:
        self._sender = sender
        self._queue = sender.queue
        self._scoreboard = sender.scoreboard
        self._recovery = sender.recovery
        self._tail_probe = sender.tail_probe
        self._persist = sender.persist
        self._write_timer = write_timer
        self._mib = mib
        self._rwnd_limited = False  # the peer's window kept data from leaving now

    def write_xmit_paced(self, now: float, limit: int, data_segs_out: int) -> list[SentSegment]:
        """`write_xmit` of a connection with a pacer: only what may leave by now. `data_segs_out`: wire
        packets with payload that the connection has sent before."""
        sender, out = self._sender, list[SentSegment]()
        pacer = sender.pacer
        assert pacer is not None
        pacer.rate = sender.pacing_rate
        sender.gso_max_bytes = min(sender.whole_segments_bytes(), pacer.max_burst_bytes(sender.mss))
        while (pacer.at <= now or pacer.timed_out) and len(out) < limit:
            segments = self.write_xmit(now, 1)
            pacer.timed_out = False
            if not segments:
                pacer.set_waiting(False)
                break
            out += segments
            length = sum(each.end - each.fin - each.seq for each in segments)
            data_segs_out += -(-length // sender.mss)
            if data_segs_out > UNPACED_SEGMENTS:
                pacer.on_segment_sent(length, now)
        else:
            unsent = self._queue.bytes or self._scoreboard.lost_bytes or sender.fin_queued > sender.fin_sent
            if pacer.at > now:  # otherwise `limit` holds the rest back, if there is any
                pacer.set_waiting(bool(unsent) or self._tail_probe.due)
        return out

    def write_xmit(self, now: float, limit: int) -> list[SentSegment]:
        """At most `limit` segments to transmit now; they already count as sent."""
        out: list[SentSegment] = []
        sender, self._rwnd_limited = self._sender, False
        board, recovery, queue, persist = self._scoreboard, self._recovery, self._queue, self._persist
        if recovery.phase is not Phase.OPEN:
            recovery.update_cwnd(sender.delivered_bytes, sender.snd_una, sender.in_flight, sender.mss)
            if recovery.send_new_first:
                self._send_new(now, limit, out)
        if board.lost_bytes and not (out and recovery.send_new_first):
            self._retransmit_lost(now, limit, out)
        if self._tail_probe.due:
            self._send_tail_probe(now, out)
        if queue.bytes and not board.lost_bytes:
            self._send_new(now, limit, out)
        if sender.fin_queued and not queue.bytes and not sender.fin_sent:
            self._send_fin(now, out)
        if out:
            timer = self._write_timer
            if timer.at == inf:
                timer.busy_since = now
                timer.arm(now)
            elif out[-1].transmissions == 1:
                timer.arm_tail_probe(now)
            elif out[0] is board.segments[0]:
                timer.arm(now)  # the head's ACK, too, takes a round trip from now (tcp_xmit_retransmit_queue)
            sender.last_sent_at = now
        recovery.delivered_before = sender.delivered_bytes
        if sender.chrono.limit is not Limit.IDLE:
            self._update_chrono(bool(out), now)
        if board.segments:
            if persist.at != inf:
                persist.stop()
        elif (queue.bytes or (sender.fin_queued and not sender.fin_sent)) and persist.at == inf:
            held = sender.cork or sender.more_una == sender.snd_una
            persist.start(now, sender.rtt.rto, held and sender.snd_wnd >= sender.mss)
        return out

    # --- retransmission ---------------------------------------------------------------------------

    def _retransmit_lost(self, now: float, limit: int, out: list[SentSegment]) -> None:
        sender = self._sender
        recovery, mss = self._recovery, sender.mss
        while len(out) < limit:
            room = (sender.control.cwnd - sender.in_flight) // mss * mss
            if room < mss:
                if not recovery.force_retransmit:
                    return
                room = mss
            segment = self._scoreboard.next_lost(min(room, sender.gso_max_bytes))
            if segment is None:
                return
            self._retransmit(segment, now)
            recovery.on_segment_retransmitted(segment, now)
            out.append(segment)

    def _retransmit(self, segment: SentSegment, now: float) -> None:
        sender = self._sender
        length = segment.end - segment.seq
        packets = (length + sender.mss - 1) // sender.mss
        sender.total_retrans += packets
        self._mib.TcpRetransSegs += packets
        sender.bytes_retrans += length
        self._scoreboard.on_segment_retransmitted(segment, now)

    def _send_tail_probe(self, now: float, out: list[SentSegment]) -> None:
        """RFC 8985 section 7.3: a new segment if the window allows it, else the last segment again."""
        sender = self._sender
        probe, queue, mss, board = self._tail_probe, self._queue, sender.mss, self._scoreboard
        probe.due = False
        if not board.segments:
            probe.reset()
            return
        room = sender.snd_una + sender.snd_wnd - sender.snd_nxt
        if queue.bytes and room >= min(mss, queue.bytes):
            out.append(self._send(min(mss, queue.bytes), now))
            probe.on_probe_sent(sender.snd_nxt, is_retrans=False)
            return
        last = board.segments[-1]
        if last.end - last.fin - last.seq > mss:
            board.split(len(board.segments) - 1, last.end - last.fin - mss)
            last = board.segments[-1]
        self._retransmit(last, now)
        probe.on_probe_sent(sender.snd_nxt, is_retrans=True)
        out.append(last)

    # --- new data ---------------------------------------------------------------------------------

    def _send_new(self, now: float, limit: int, out: list[SentSegment]) -> None:
        sender, queue, mss = self._sender, self._queue, self._sender.mss
        idle = now - sender.last_sent_at if not self._scoreboard.segments else 0.0
        if idle:
            self._restart_cwnd_after_idle(idle)
        cwnd, limited, largest = sender.control.cwnd, False, self._tso_bytes()
        while len(out) < limit and queue.bytes:
            run = queue.run_bytes
            skb = run if run < sender.gso_max_bytes else sender.gso_max_bytes  # the kernel's next skb
            least = skb if skb < mss else mss
            room = cwnd - sender.in_flight
            usable = sender.snd_una + sender.snd_wnd - sender.snd_nxt
            if room < least:
                limited = True
                break
            if usable < least:
                if not self._may_fill_window(usable):
                    self._rwnd_limited = True
                    break
                length = usable
            elif skb <= mss:
                if skb < mss and skb == queue.bytes and not self._may_send_small():
                    break
                length = skb
            else:
                if (room < largest or usable < largest) and self._tso_should_defer(
                    now, skb, room, usable, bool(out)
                ):
                    limited = room < usable and room <= skb
                    self._rwnd_limited = usable <= room and usable <= skb
                    break
                length = largest if largest < room else room - room % mss
                wanted = skb if skb < usable else usable
                if wanted < length:
                    length = wanted  # tcp_mss_split_point: with a small segment at its end, if that may leave
                    if wanted < skb or (skb == queue.bytes and skb % mss and not self._may_send_small()):
                        length -= length % mss
            out.append(self._send(length, now))
        if idle and out:
            sender.control.on_tx_start(idle, now)
        self._cwnd_validate(limited or sender.in_flight >= cwnd, bool(out))

    def _tso_bytes(self) -> int:
        """Payload bytes of the next super-segments: tcp_tso_autosize, and two in a window, so that one is out
        while the other is acknowledged (tcp_cwnd_test)."""
        sender = self._sender
        mss, half = sender.mss, sender.control.cwnd // 2
        largest, min_rtt = sender.gso_max_bytes, sender.rtt.min_rtt
        if largest > mss and min_rtt >= TSO_RTT_S:
            largest = tso_autosize(sender.pacing_rate, min_rtt, largest, mss)
        return largest if largest <= half else max(half - half % mss, mss)

    def _tso_should_defer(self, now: float, skb: int, room: int, usable: int, sent: bool) -> bool:
        """Whether less than a full super-segment should wait for the ACK that is about to come: smaller ones
        cost CPU. `skb`: bytes that could leave in one, `room` in cwnd, `usable` in the peer's window; `sent`:
        a segment leaves now."""
        sender = self._sender
        if self._recovery.phase is not Phase.OPEN or not (sent or now - sender.last_sent_at <= _DEFER_S):
            return False
        least = room if room < usable else usable
        segments, srtt, last = self._scoreboard.segments, sender.rtt.srtt, skb == self._queue.bytes
        if not segments or (least >= skb and not last):
            return False
        if least >= min(sender.snd_wnd, sender.control.cwnd) // _TSO_WIN_DIVISOR:
            return False
        if segments[0].sent_at + srtt - now > min(srtt / 2, _DEFER_S):
            return False
        return least <= skb or not (sender.fin_queued or self._queue.ends_record)

    def _cwnd_validate(self, limited: bool, sent: bool) -> None:
        """Remember whether cwnd limited the sender in this window of data, else the largest flight in it
        (tcp_cwnd_validate)."""
        sender = self._sender
        flight = sender.snd_nxt - sender.snd_una
        if limited or (
            sent
            and (
                sender.snd_una >= sender.cwnd_usage_seq
                or (not sender.cwnd_limited and flight > sender.max_flight_bytes)
            )
        ):
            sender.cwnd_limited = limited
            sender.max_flight_bytes = flight
            sender.cwnd_usage_seq = sender.snd_nxt

    def _update_chrono(self, sent: bool, now: float) -> None:
        """What the data that is queued or in flight waits for (tcp_write_xmit, tcp_cwnd_validate,
        tcp_check_space)."""
        sender = self._sender
        if sender.buffer.nospace:
            sender.check_space()
        limit, chrono = Limit.BUSY, sender.chrono
        starved = chrono.limit is Limit.SNDBUF or (sent and not sender.cwnd_limited)
        if self._rwnd_limited:
            limit = Limit.RWND
        elif starved and sender.buffer.nospace and not self._queue.bytes:
            limit = Limit.SNDBUF
        if chrono.limit is not limit:
            chrono.set(limit, now)

    def _restart_cwnd_after_idle(self, idle: float) -> None:
        """Nothing is in flight, and nothing was sent for an RTO: halve cwnd for each RTO that passed, down to
        the initial window (RFC 5681 section 4.1 with RFC 2861's decay; tcp_cwnd_restart)."""
        sender = self._sender
        rto, control = sender.rtt.rto, sender.control
        if not rto < idle < inf:
            return
        restart_cwnd = min(control.cwnd, INITIAL_WINDOW_SEGMENTS * sender.mss)
        if control.cwnd > restart_cwnd:
            control.ssthresh = max(control.ssthresh, control.cwnd * 3 // 4)
            control.cwnd = max(restart_cwnd, control.cwnd >> min(64, int(idle / rto)))

    def _may_send_small(self) -> bool:
        """Whether less than a full segment, the last of the queue, may leave: MSG_MORE, TCP_CORK, Nagle with
        Minshall's modification (tcp_nagle_test; RFC 9293 section 3.7.4)."""
        sender = self._sender
        if sender.fin_queued or sender.snd_nxt < sender.push_seq:
            return True
        if sender.cork or sender.more_una == sender.snd_una:
            return False
        return sender.nodelay or sender.snd_sml <= sender.snd_una

    def _may_fill_window(self, usable: int) -> bool:
        """Whether to send the `usable` bytes that the peer's window has room for although they are less than
        a segment: silly-window avoidance (RFC 9293 section 3.8.6.2.1)."""
        sender = self._sender
        if usable <= 0 or sender.snd_nxt - sender.snd_una:
            return False
        return 2 * usable >= sender.max_wnd or sender.snd_nxt < sender.push_seq

    def _send(self, length: int, now: float) -> SentSegment:
        sender = self._sender
        payload = self._queue.take(length)
        length = len(payload)
        fin = self._fin_bit(length) if sender.fin_queued else 0
        segment = self._scoreboard.on_segment_sent(sender.snd_nxt, payload, fin, now)
        sender.snd_nxt = segment.end
        if length % sender.mss:
            sender.snd_sml = segment.end
        if self._recovery.prr is not None:
            self._recovery.prr.on_bytes_sent(length)
        return segment

    def _fin_bit(self, length: int) -> int:
        """1 if the queued FIN may leave on a segment of `length` bytes that empties the queue; it then counts
        as sent."""
        sender = self._sender
        if self._queue.bytes or sender.snd_nxt + length >= sender.snd_una + sender.snd_wnd:
            return 0
        sender.fin_sent = True
        return 1

    def _send_fin(self, now: float, out: list[SentSegment]) -> None:
        sender = self._sender
        if sender.snd_nxt < sender.snd_una + sender.snd_wnd:
            sender.fin_sent = True
            out.append(self._scoreboard.on_segment_sent(sender.snd_nxt, None, 1, now))
            sender.snd_nxt += 1
