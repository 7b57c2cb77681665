"""Transmissions, ACKs and SACK blocks in; which bytes are in flight, sacked or lost out.

RFC 2018, RFC 6675 section 3 (the scoreboard); the kernel's rtx queue: net/ipv4/tcp_input.c
tcp_clean_rtx_queue, tcp_sacktag_write_queue. Owns the segments that were sent and not acknowledged, and their
payload. A transmitted super-segment is one SentSegment. It is split where a SACK block or a retransmission
ends; the parts share the payload, so a split copies nothing and reads no payload.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from nodes.tcp.segment import Payload

_END = attrgetter("end")


class _SharedPayload:
    """One payload with a count of the SentSegments that it is part of."""

    __slots__ = ("base", "payload", "users")

    def __init__(self, payload: Payload, base: int) -> None:
        self.payload = payload
        self.base = base  # sequence number of its first byte
        self.users = 1

    def put(self) -> None:
        self.users -= 1
        if not self.users:
            self.payload.release()


class SentSegment:
    """Sequence space [seq, end) that was sent; `fin` is 1 when its last number is the FIN."""

    __slots__ = ("end", "fin", "lost", "sacked", "sent_at", "seq", "shared", "transmissions")

    def __init__(self, seq: int, end: int, fin: int, shared: _SharedPayload | None, sent_at: float) -> None:
        self.seq = seq
        self.end = end
        self.fin = fin
        self.shared = shared
        self.sent_at = sent_at  # of the last transmission
        self.transmissions = 1
        self.sacked = False
        self.lost = False  # marked lost and not retransmitted since

    def packets(self, mss: int) -> int:
        """How many wire packets of `mss` bytes it is (tcp_skb_pcount)."""
        return -(-(self.end - self.fin - self.seq) // mss) or 1

    def clone_payload(self) -> Payload | None:
        """New references to the segment's bytes, for one transmission (skb_clone in __tcp_transmit_skb)."""
        shared = self.shared
        stop = self.end - self.fin
        if shared is None or self.seq >= stop:
            return None
        return shared.payload.slice(self.seq - shared.base, stop - shared.base)


class Scoreboard:
    """`segments` in order of sequence. In flight are snd_nxt - snd_una - sacked_bytes - lost_bytes bytes."""

    __slots__ = (
        "_retransmit_hint", "_sack_cache", "delivered", "lost_bytes", "orig_delivered_end",
        "reno_sacked_bytes", "retrans_acked", "sacked_bytes", "segments",
    )  # fmt: skip

    def __init__(self) -> None:
        self.segments: list[SentSegment] = []
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.delivered = 0  # wire packets acknowledged or sacked since the start
        self.reno_sacked_bytes = 0  # without SACK: bytes that duplicate ACKs say have arrived
        # End of the last delivered segment that was sent once (FLAG_ORIG_SACK_ACKED); the caller clears it.
        self.orig_delivered_end = 0
        self.retrans_acked = False  # the last ACK covered a retransmitted segment (FLAG_RETRANS_DATA_ACKED)
        self._retransmit_hint = 0  # no segment before this sequence number is lost
        self._sack_cache: tuple[tuple[int, int], ...] = ()  # recv_sack_cache: blocks of the last ACK

    def on_segment_sent(self, seq: int, payload: Payload | None, fin: int, now: float) -> SentSegment:
        """Add a first transmission; takes ownership of `payload`."""
        if payload is None:
            segment = SentSegment(seq, seq + fin, fin, None, now)
        else:
            segment = SentSegment(seq, seq + len(payload) + fin, fin, _SharedPayload(payload, seq), now)
        self.segments.append(segment)
        return segment

    def on_ack_received(self, ack: int, mss: int) -> SentSegment | None:
        """Remove what is before `ack`; wire packets are of `mss` bytes. Returns the newly
        delivered segment that was sent last, or None."""
        newest: SentSegment | None = None
        done = 0
        self.retrans_acked = False
        for segment in self.segments:
            if segment.seq >= ack:
                break
            end = segment.end if segment.end <= ack else ack
            if segment.sacked:
                self.sacked_bytes -= end - segment.seq
            else:
                self.delivered += segment.packets(mss)
                if segment.lost:
                    self.lost_bytes -= end - segment.seq
                if newest is None or segment.sent_at >= newest.sent_at:
                    newest = segment
                if segment.transmissions == 1:
                    self.orig_delivered_end = end
                else:
                    self.retrans_acked = True
            if segment.end > ack:
                segment.seq = ack
                if not segment.sacked:
                    self.delivered -= segment.packets(mss)
                break
            segment.lost = False
            done += 1
            if segment.shared is not None:
                segment.shared.put()
        if done:
            del self.segments[:done]
        return newest

    def on_sack_received(self, blocks: tuple[tuple[int, int], ...], mss: int) -> list[SentSegment]:
        """Mark the wire packets of `mss` bytes that `blocks` (unwrapped, inside snd_una..snd_nxt) report as a
        whole; returns the newly sacked segments."""
        delivered: list[SentSegment] = []
        for block in blocks:
            if block in self._sack_cache:
                continue
            left, right = block
            # Of a block that grew, only the growth is new, and the packet at the edge where it ended.
            for cached_left, cached_right in self._sack_cache:
                if cached_left <= left < cached_right:
                    left = max(left, cached_right - mss)
                if cached_left < right <= cached_right:
                    right = min(right, cached_left + mss)
            if left < right:
                self._mark_sacked(left, right, mss, delivered)
        self._sack_cache = blocks
        return delivered

    def highest_sack(self) -> int:
        """Where the last segment that was sacked begins; 0 without one (tcp_highest_sack_seq)."""
        return next((each.seq for each in reversed(self.segments) if each.sacked), 0)

    def filled_hole(self, ack: int) -> tuple[int, int]:
        """Where the first segment begins that an ACK of `ack` reports, that was sent once and not sacked, and
        where the last sacked one begins: reordering, if the first number is the smaller one."""
        highest = self.highest_sack()
        before = min(ack, highest)
        for segment in self.segments:
            if segment.seq >= before:
                break
            if not segment.sacked and segment.transmissions == 1:
                return segment.seq, highest
        return highest, highest

    def sacks_reach(self, count: int, mss: int) -> bool:
        """Whether `count` segments of at most `mss` bytes are sacked."""
        return self.sacked_bytes >= count * mss or sum(each.sacked for each in self.segments) >= count

    def _mark_sacked(self, left: int, right: int, mss: int, delivered: list[SentSegment]) -> None:
        """A packet that is reported in part counts as not reported (tcp_match_skb_to_sack)."""
        segments = self.segments
        at = bisect_right(segments, left, key=_END)
        while at < len(segments) and segments[at].seq < right:
            segment = segments[at]
            if not segment.sacked:
                if segment.seq < left:
                    before = -(-(left - segment.seq) // mss) * mss
                    if before < segment.end - segment.fin - segment.seq:
                        self.split(at, segment.seq + before)
                    at += 1
                    continue
                if segment.end > right:
                    whole = (right - segment.seq) // mss * mss
                    if not whole:
                        return
                    self.split(at, segment.seq + whole)
                segment.sacked = True
                self.delivered += segment.packets(mss)
                self.sacked_bytes += segment.end - segment.seq
                if segment.lost:
                    segment.lost = False
                    self.lost_bytes -= segment.end - segment.seq
                delivered.append(segment)
                if segment.transmissions == 1:
                    self.orig_delivered_end = segment.end
                if at and self._merge_with_previous(at):
                    at -= 1
            at += 1

    def _merge_with_previous(self, at: int) -> bool:
        """Merge two sacked neighbours of the same payload (tcp_shift_skb_data): a block that grows with every
        ACK would otherwise leave many small segments."""
        left, right = self.segments[at - 1], self.segments[at]
        if not left.sacked or left.shared is None or left.shared is not right.shared:
            return False
        left.end, left.fin = right.end, right.fin
        left.shared.put()
        del self.segments[at]
        return True

    def split(self, at: int, seq: int) -> None:
        """Cut segment number `at` in two at `seq` (tcp_fragment); the first part stays the same object."""
        left = self.segments[at]
        right = SentSegment(seq, left.end, left.fin, left.shared, left.sent_at)
        right.transmissions, right.sacked, right.lost = left.transmissions, left.sacked, left.lost
        if left.shared is not None:
            left.shared.users += 1
        left.end, left.fin = seq, 0
        self.segments.insert(at + 1, right)

    def mark_lost(self, segment: SentSegment) -> None:
        """Count the segment as not in flight until it is retransmitted."""
        segment.lost = True
        self.lost_bytes += segment.end - segment.seq
        if segment.seq < self._retransmit_hint:
            self._retransmit_hint = segment.seq

    def next_lost(self, max_bytes: int) -> SentSegment | None:
        """The first lost segment, cut to `max_bytes` of payload; None when nothing is lost."""
        if not self.lost_bytes:
            return None
        at = bisect_left(self.segments, self._retransmit_hint, key=_END)
        while not self.segments[at].lost:
            at += 1
        segment = self.segments[at]
        if segment.end - segment.fin - segment.seq > max_bytes:
            self.split(at, segment.seq + max_bytes)
        self._retransmit_hint = segment.seq
        return segment

    def on_segment_retransmitted(self, segment: SentSegment, now: float) -> None:
        """The segment is in flight again."""
        if segment.lost:
            segment.lost = False
            self.lost_bytes -= segment.end - segment.seq
        segment.sent_at = now
        segment.transmissions += 1

    def mark_oversized_lost(self, start: int, max_bytes: int) -> int:
        """Mark segments that reach beyond `start` and carry more than `max_bytes` of payload as lost
        (tcp_simple_retransmit); returns how many bytes that were."""
        before = self.lost_bytes
        for segment in self.segments:
            if segment.end <= start or segment.sacked or segment.lost:
                continue
            if segment.end - segment.fin - segment.seq > max_bytes:
                self.mark_lost(segment)
        return self.lost_bytes - before

    def packets(self, mss: int) -> tuple[int, int, int, int]:
        """Wire packets of `mss` bytes: all; sacked; lost; retransmitted and neither sacked nor lost again
        (packets_out, sacked_out, lost_out, retrans_out)."""
        out = sacked = lost = again = 0
        for each in self.segments:
            packets = each.packets(mss)
            out += packets
            sacked += packets * each.sacked
            lost += packets * each.lost
            again += packets * (each.transmissions > 1 and not each.sacked and not each.lost)
        return out, sacked, lost, again

    def retrans_bytes(self, left: int = 0, right: int = 0) -> int:
        """Bytes in flight that were retransmitted (retrans_out); with `right` those of [left, right) that
        were, sacked or not."""
        return sum(
            each.end - each.seq
            for each in self.segments
            if each.transmissions > 1
            and (left < each.end and each.seq < right if right else not (each.sacked or each.lost))
        )

    def clear_sacked(self) -> None:
        """The peer reneged (RFC 2018 section 8): no SACK block of it counts any more."""
        for segment in self.segments:
            segment.sacked = False
        self.sacked_bytes = 0
        self._sack_cache = ()

    def clear_lost(self) -> None:
        """Nothing was lost: segments that were marked and not retransmitted are in flight (tcp_undo)."""
        for segment in self.segments:
            segment.lost = False
        self.lost_bytes = 0

    def clear(self) -> None:
        """Release everything."""
        for segment in self.segments:
            if segment.shared is not None:
                segment.shared.put()
        self.segments.clear()
        self.sacked_bytes = self.lost_bytes = self.reno_sacked_bytes = 0
        self._sack_cache = ()
