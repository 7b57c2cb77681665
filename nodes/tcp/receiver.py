"""Payload of segments in, payload in order out. Owns the RCV.* variables and decides when an ACK is due.

RFC 9293 sections 3.3.1 and 3.8.6.3 (delayed ACK), RFC 1122 section 4.2.3.2, RFC 2883, RFC 7323 section 4.3
(TS.Recent); net/ipv4/tcp_input.c tcp_data_queue, tcp_prune_queue, tcp_measure_rcv_mss, net/ipv4/tcp_output.c
tcp_select_window.
"""

from __future__ import annotations

from collections import deque
from math import inf

from nodes.tcp.comp_sack import CompressedAck
from nodes.tcp.mib import TcpMib
from nodes.tcp.quick_ack import DELAYED_ACK_S, QuickAck
from nodes.tcp.reassembly import Reassembly
from nodes.tcp.receive_buffer import ReceiveBuffer, initial_window
from nodes.tcp.segment import Payload
from nodes.tcp.seq import HALF, MASK, ts_val

_MSS_DEFAULT, _MSS_MIN = 536, 88  # TCP_MSS_DEFAULT, TCP_MIN_MSS


class Receiver:
    """The receiving half. Sequence numbers unwrapped, windows in bytes, times in monotonic seconds."""

    __slots__ = (
        "_advmss", "_batch_at", "_first_seq", "_mib", "_unread_before",
        "ack_due", "buffer", "comp_sack", "data_segs_in", "delayed_ack_at",
        "duplicate_sack", "ece", "fin_received", "fin_seq", "largest", "last_ack_sent", "last_data_at",
        "last_ts_ecr",
        "memory_short", "mss", "quick_ack", "rcv_adv", "rcv_nxt", "rcv_ooopack", "rcv_wscale", "rcvlowat",
        "reassembly", "received", "segs_in", "timestamps", "ts_recent", "unread_bytes",
    )  # fmt: skip

    def __init__(self, buffer: ReceiveBuffer, mib: TcpMib) -> None:
        self.buffer = buffer
        self._mib = mib
        self.rcv_nxt = 0
        self._first_seq = 0  # of the peer's first byte
        self.rcv_adv = 0  # right edge of the advertised window; it never moves left
        self.last_ack_sent = 0  # RFC 7323's Last.ACK.sent
        self.rcv_wscale = 0
        self.timestamps = False  # both SYNs had the timestamps option
        self.ts_recent = 0  # RFC 7323's TS.Recent
        self.last_ts_ecr = 0  # of the last segment (rcv_rtt_last_tsecr)
        self.segs_in = self.data_segs_in = 0  # wire packets received, and those with payload
        self.rcv_ooopack = 0  # those that came before their turn
        self.last_data_at = -inf  # when payload was last received
        self._batch_at = -inf  # when the batch of frames came that payload was last in order of
        self._unread_before = 0  # unread_bytes before that batch
        self.rcvlowat = 1  # SO_RCVLOWAT: how many bytes the reader waits for
        self.mss = 536  # payload bytes of the wire packets that the peer sends (rcv_mss)
        self.largest = 536  # of those that came
        self._advmss = 536  # of the largest that it may send
        self.memory_short = False  # a segment was refused for want of memory, and nothing was read since
        self.received: deque[Payload] = deque()  # in order, for the application to take
        self.unread_bytes = 0  # in order and not yet consumed by the application
        self.reassembly = Reassembly()
        self.fin_seq: int | None = None  # sequence number of the peer's FIN, once seen
        self.fin_received = False  # the FIN and all data before it
        self.ack_due = False  # an ACK should leave at once
        self.delayed_ack_at = inf  # deadline of the delayed ACK
        self.duplicate_sack: tuple[int, int] | None = None  # to be reported once, as a D-SACK
        self.quick_ack = QuickAck()
        self.comp_sack = CompressedAck(buffer)
        self.ece = False  # segments carry ECE: CE was received

    def on_syn_received(self, irs: int, mss: int) -> None:
        """The peer's SYN has sequence number `irs`. Until the handshake is complete only the window of our
        SYN is promised; `mss`: the segments of which it is a multiple."""
        self.rcv_nxt = self._first_seq = self.last_ack_sent = irs + 1
        self.rcv_adv = self.rcv_nxt + initial_window(self.buffer.size, mss)

    def on_established(self, mss: int, advmss: int, rcv_wscale: int, now: float) -> None:
        """The handshake is complete: `mss` payload bytes in a wire packet as far as is known, at most
        `advmss`; our window scaled by `rcv_wscale`."""
        self.mss = mss
        self.largest = max(_MSS_MIN, min(mss, advmss, _MSS_DEFAULT))
        self._advmss = advmss
        self.rcv_wscale = rcv_wscale
        self.buffer.on_established(advmss, self.rcv_adv - self.rcv_nxt, rcv_wscale, now)

    def measure(self, packet: int, payload: Payload) -> None:
        """Wire packets of more than `largest` payload bytes came. The peer's SYN may not have told its MSS;
        and they show how much memory a full segment takes (tcp_measure_rcv_mss)."""
        self.largest = min(packet, self._advmss)
        self.mss = max(self.mss, self.largest)
        promised = self.rcv_adv - self.last_ack_sent
        self.buffer.learn_ratio(len(payload), payload.buffer_bytes, promised)

    def set_buffer(self, size: int, now: float) -> None:
        """SO_RCVBUF, twice of what was asked for."""
        self.buffer.lock(size)
        self.consumed(0, now)  # more room may be worth an ACK

    def set_quickack(self, quick: bool) -> None:
        """TCP_QUICKACK."""
        self.quick_ack.set(quick)
        if quick and self.delayed_ack_at != inf:
            self.ack_due = True

    @property
    def bytes_received(self) -> int:
        """Payload bytes received in order."""
        return self.rcv_nxt - self._first_seq - self.fin_received

    def on_ts_ecr(self, ts_ecr: int, length: int, now: float) -> None:
        """A segment of `length` bytes echoes another timestamp than the last one did. Its milliseconds tell
        nothing of a round trip within one."""
        self.last_ts_ecr = ts_ecr
        elapsed_ms = ts_val(now) - ts_ecr & MASK
        if length >= self.mss and 0 < elapsed_ms < HALF:
            self.buffer.measure_rtt_by_timestamp(elapsed_ms / 1000)

    def on_ecn_bits_received(self, ce: bool, cwr: bool, dctcp: bool) -> bool:
        """A data segment came with or without CE, and with or without CWR (tcp_ecn_check_ce,
        tcp_ecn_accept_cwr).

        RFC 3168: from CE until CWR every ACK carries ECE. `dctcp` (RFC 8257 section 3.2): an ACK carries ECE
        if the last segment had CE. Returns True if CE changed: the ACK of this segment leaves at once, behind
        that of the segments before, with the ECE of before, if it was delayed (dctcp_ece_ack_update).
        """
        if dctcp:
            changed = ce != self.ece
            self.ece = ce
            return changed
        if cwr:
            self.ece = False
            self.ack_due = True  # the peer's cwnd may be one segment: a delayed ACK would stop it
        self.ece = self.ece or ce
        return False

    def deliver(self, payload: Payload, length: int, now: float) -> None:
        """Take the payload at rcv_nxt. It lies inside the window, and no payload waits behind it."""
        if now != self._batch_at:
            self._batch_at, self._unread_before = now, self.unread_bytes
        self.rcv_nxt += length
        self.unread_bytes += length
        self.received.append(payload)
        buffer, quick = self.buffer, self.quick_ack
        if buffer.rcv_ssthresh < buffer.window_clamp and buffer.grow_window(length, self.unread_bytes):
            quick.left = quick.left or 1
        if self.rcv_nxt >= buffer.rtt_end:
            buffer.measure_rtt(self.rcv_nxt, self.rcv_adv - self.last_ack_sent, now)
        if self._ack_is_due(length):
            self.ack_due = True
        elif self.delayed_ack_at == inf:
            self.delayed_ack_at = now + DELAYED_ACK_S

    def _ack_is_due(self, length: int) -> bool:
        """Whether a segment of `length` bytes is acknowledged at once, whatever waits beyond holes: the
        peer's cwnd is small, or more than one segment is not acknowledged yet. Of a batch of wire packets
        none but the first waits for the reader: Linux's reads beside the softirq, ours after the batch. One
        ACK for a batch would be one for all that is in flight, and its loss a timeout."""
        quick = self.quick_ack
        if quick.left and not quick.pingpong:
            quick.left -= 1
            return True
        if self.rcv_nxt - self.last_ack_sent <= self.mss:
            return False
        alone = length > self.mss or self.unread_bytes == self._unread_before + length
        return self._keeps_window(self.unread_bytes if alone else self._unread_before)

    def _keeps_window(self, unread: int) -> bool:
        """Whether an ACK now would offer as much as the last one did, or the reader waits for more. Else the
        ACK waits until the application reads, so that it moves the window as well (__tcp_ack_snd_check)."""
        if unread < self.rcvlowat:
            return True
        offered, wscale = self.rcv_adv - self.last_ack_sent, self.rcv_wscale
        window = self.buffer.select(unread, self.mss, offered, wscale)
        return window + (1 << wscale) > offered

    def on_data_received(
        self, seq: int, payload: Payload, now: float, scarce: bool = False, packets: int = 1
    ) -> None:
        """Take payload at any `seq`: keep what is new, release the rest. What reaches beyond the window came
        while nothing was queued, and is taken whole (`validate`). `scarce`: it lies in one of the last
        buffers of its rx queue. `packets`: on the wire."""
        end = seq + len(payload)
        limit = end if self.fin_seq is None else self.fin_seq
        if self.rcv_adv <= self.rcv_nxt:
            self._mib.TcpExtTCPZeroWindowDrop += 1
            limit = self.rcv_nxt
        start, stop = max(seq, self.rcv_nxt), min(end, limit)
        if seq < self.rcv_nxt:
            self.on_duplicate(seq, end)
        if end > limit:
            self.ack_due = True
        if start >= stop or (scarce and self._refuses(start)):
            payload.release()
            return
        if start > seq or stop < end:
            kept = payload.slice(start - seq, stop - seq)
            payload.release()
            payload = kept
        if start == self.rcv_nxt and not self.reassembly:
            ssthresh = self.buffer.rcv_ssthresh
            self.deliver(payload, stop - start, now)
            if scarce:
                self.buffer.rcv_ssthresh = ssthresh
            return
        self.buffer.grow_window(stop - start, self.unread_bytes)
        if start > self.rcv_nxt:
            self.rcv_ooopack += packets
        duplicate = self.reassembly.insert(start, payload)
        self.duplicate_sack = self.duplicate_sack or duplicate
        if start == self.rcv_nxt:
            self._deliver_reassembled()
        # A hole that closes moves rcv_nxt, so its ACK leaves at once (RFC 5681 section 4.2).
        if self._ack_is_due(stop - start) or not self.comp_sack.defers(self.rcv_nxt, now):
            self.ack_due = True

    def on_duplicate(self, seq: int, end: int) -> None:
        """Of [seq, end) what is before rcv_nxt came again: a D-SACK reports it at once, and the next segments
        are acknowledged at once, too, since the peer's cwnd is small (tcp_send_dupack)."""
        self.duplicate_sack = (seq, min(end, self.rcv_nxt))
        self.ack_due = True
        if end <= self.rcv_nxt:
            self.quick_ack.enter(self.rcv_adv - self.rcv_nxt, self.mss)

    def _refuses(self, start: int) -> bool:
        """Whether payload in one of the last buffers is dropped: beyond a hole always; in order if two
        segments wait for the application. So a segment at rcv_nxt finds a buffer as long as the application
        reads (tcp_data_queue, tcp_data_queue_ofo, where tcp_try_rmem_schedule fails)."""
        self.ack_due = True
        self._on_memory_short(2)
        if start == self.rcv_nxt and self.unread_bytes < 2 * self._advmss:
            return False
        if start == self.rcv_nxt:
            self._mib.TcpExtTCPRcvQDrop += 1
        else:
            self._mib.TcpExtTCPOFODrop += 1
        return True

    def _on_memory_short(self, segments: int) -> None:
        self.memory_short = self.unread_bytes > 0
        self.buffer.on_memory_short(segments, self.unread_bytes + self.reassembly.bytes)

    def prune(self) -> None:
        """The rx queue had no buffer left for a packet: give back half of what waits beyond holes, the
        highest sequence numbers first, whatever SACK reported (tcp_prune_queue, tcp_prune_ofo_queue)."""
        mib = self._mib
        mib.TcpExtPruneCalled += 1
        self._on_memory_short(1)
        if self.reassembly:
            self.reassembly.prune((self.reassembly.bytes + 1) // 2)
            mib.TcpExtOfoPruned += 1
        elif self.unread_bytes:
            mib.TcpExtRcvPruned += 1

    def _deliver_reassembled(self) -> None:
        """A hole has closed: the range behind it is in order now (tcp_ofo_queue)."""
        taken = self.reassembly.take(self.rcv_nxt)
        if taken is not None:
            end, payloads = taken
            if self.fin_seq is not None:
                end = min(end, self.fin_seq)  # `take_fin` takes the FIN's number
            self.unread_bytes += end - self.rcv_nxt
            self.rcv_nxt = end
            self.received.extend(payloads)

    def on_fin_received(self, seq: int) -> bool:
        """The peer's FIN has sequence number `seq`, inside the window. Returns whether it is in order."""
        self.ack_due = True
        if self.fin_seq is None and seq >= self.rcv_nxt:
            if seq == self.rcv_nxt or self.reassembly.insert_fin(seq):
                self.fin_seq = seq
        elif seq == self.fin_seq:  # again: a D-SACK reports it, together with payload before it
            first, end = self.duplicate_sack or (seq, seq)
            self.duplicate_sack = (first if end == seq else seq, seq + 1)
        return self.take_fin()

    def take_fin(self) -> bool:
        """Take the FIN if it is next in order; returns whether it was taken now."""
        if self.fin_seq != self.rcv_nxt or self.fin_received:
            return False
        self.fin_received = True
        self.rcv_nxt += 1
        self.reassembly.clear()  # what lay behind the FIN, which a sane peer does not send
        return True

    def consumed(self, count: int, now: float) -> None:
        """The application took `count` bytes, or waits for more. An ACK is due for more than a segment, or if
        the window would be twice what the peer may still send, at most the whole clamp (tcp_cleanup_rbuf)."""
        self.unread_bytes -= count
        if self.delayed_ack_at != inf and self.rcv_nxt - self.last_ack_sent > self.mss:
            self.ack_due = True
        buffer = self.buffer
        if count:
            self.ack_due = self.ack_due or self.memory_short  # the peer was told to wait
            self.memory_short = False
            ofo = self.reassembly.end - self.rcv_nxt if self.reassembly else 0
            buffer.on_read(count, ofo, now)
        if count and self.quick_ack.due_at_read and not self.unread_bytes and not self.reassembly:
            self.ack_due = self.ack_due or self.rcv_nxt > self.last_ack_sent
        remaining = self.rcv_adv - self.rcv_nxt
        if 2 * remaining <= buffer.window_clamp and not self.fin_received:
            window = buffer.select(self.unread_bytes, self.mss, remaining, self.rcv_wscale)
            self.ack_due = self.ack_due or window >= max(1, 2 * remaining)

    @property
    def readable_bytes(self) -> int:
        """Unread bytes at which a reader is woken that waits for more: more may not fit the window, or not
        come while memory is short (tcp_epollin_ready)."""
        return 1 if self.memory_short else min(self.buffer.window_clamp, self.buffer.rcv_ssthresh) // 2

    def select_window(self) -> int:
        """The scaled window field of a header that leaves now; the edge it promises becomes rcv_adv. The edge
        moves left only if a segment was refused for want of memory: the window is 0 then, so that the peer
        does not count its retransmissions as a dead path's (ICSK_ACK_NOMEM)."""
        nxt, wscale = self.rcv_nxt, self.rcv_wscale
        if self.memory_short:
            self.rcv_adv = nxt
            return 0
        remaining = self.rcv_adv - nxt
        buffer = self.buffer
        field = buffer.select(self.unread_bytes, self.mss, remaining, wscale)
        if field < remaining:
            field = remaining
        if field <= 0:
            return 0
        full = buffer.full_space
        if full < buffer.window_clamp:
            full = buffer.window_clamp  # SO_RCVBUF was lowered, and what was promised before may be left
        edge = nxt - self.unread_bytes + full
        # Rounding up keeps the edge from moving left. Each segment then moves the edge right by less than a
        # scaling unit, so a peer of tiny segments could stretch the window: once it is stretched by an eighth
        # of the buffer, round down (RFC 7323 section 2.4).
        stretch = ((field + (1 << wscale) - 1) >> wscale << wscale) + nxt - edge
        if stretch > full >> 3:
            field = field >> wscale
        else:
            field = (field + (1 << wscale) - 1) >> wscale
        if field > 65535:
            field = 65535
        if nxt + (field << wscale) > self.rcv_adv:
            self.rcv_adv = nxt + (field << wscale)
        return field

    def sack_blocks(self, max_blocks: int) -> tuple[tuple[int, int], ...]:
        """Up to `max_blocks` SACK blocks (unwrapped): a D-SACK first, then what waits beyond holes."""
        blocks = self.reassembly.blocks()
        if self.duplicate_sack is not None:
            blocks = (self.duplicate_sack, *blocks)
            self.duplicate_sack = None
        return blocks[:max_blocks]

    def on_ack_sent(self) -> None:
        """A segment that acknowledges rcv_nxt has left."""
        self.last_ack_sent = self.rcv_nxt
        self.ack_due = False
        self.delayed_ack_at = inf
        self.quick_ack.pushed = 0

    def clear(self) -> None:
        """Release what waits for holes. Payload in order belongs to the application."""
        self.reassembly.clear()
        self.duplicate_sack = None
        self.ack_due = False
        self.delayed_ack_at = inf
        self.comp_sack.take()
