"""Acknowledgements and SACK blocks in, what is still in flight out. Owns the records of sent segments.

RFC 2018, RFC 6675 section 3; net/ipv4/tcp_input.c tcp_clean_rtx_queue, tcp_sacktag_write_queue. One record a
transmitted super-segment; it is split where a SACK block or a retransmission ends, and parts share the
payload, so a split copies nothing and touches no payload.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from nodes.tcp.segment import Payload

_END = attrgetter("end")
_SEQ = attrgetter("seq")


class _Held:
    """One payload, shared by the records that it was split into."""

    __slots__ = ("base", "holders", "payload")

    def __init__(self, payload: Payload, base: int) -> None:
        self.payload = payload
        self.base = base  # sequence number of its first byte
        self.holders = 1

    def drop(self) -> None:
        self.holders -= 1
        if not self.holders:
            self.payload.release()


class Record:
    """Sequence space [seq, end) that was sent; `fin` is 1 when its last number is the FIN."""

    __slots__ = ("end", "fin", "held", "lost", "sacked", "sent_at", "seq", "transmissions")

    def __init__(self, seq: int, end: int, fin: int, held: _Held | None, sent_at: float) -> None:
        self.seq = seq
        self.end = end
        self.fin = fin
        self.held = held
        self.sent_at = sent_at  # of the last transmission
        self.transmissions = 1
        self.sacked = False
        self.lost = False  # and not yet sent again

    def copy(self) -> Payload | None:
        """References of its own to the record's bytes, for one transmission."""
        held = self.held
        stop = self.end - self.fin
        if held is None or self.seq >= stop:
            return None
        return held.payload.slice(self.seq - held.base, stop - held.base)


class Scoreboard:
    """Records in order of sequence. Bytes in flight are snd_nxt - snd_una - sacked_bytes - lost_bytes."""

    __slots__ = (
        "_lost_from", "_seen", "first_try_end", "lost_bytes", "records", "reno_bytes", "retried",
        "sacked_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.reno_bytes = 0  # what duplicate ACKs say has arrived, where SACK is not to be had
        self.first_try_end = 0  # end of the last record delivered that was sent only once
        self.retried = False  # the last `acknowledge` covered one that was sent again
        self._lost_from = 0  # no record before this number is lost
        self._seen: tuple[tuple[int, int], ...] = ()  # the blocks of the last ACK, marked already

    def sent(self, seq: int, payload: Payload | None, fin: int, now: float) -> Record:
        """Record a first transmission; takes ownership of `payload`."""
        if payload is None:
            record = Record(seq, seq + fin, fin, None, now)
        else:
            record = Record(seq, seq + len(payload) + fin, fin, _Held(payload, seq), now)
        self.records.append(record)
        return record

    def acknowledge(self, ack: int) -> Record | None:
        """Drop what lies before `ack`; returns, of the records so delivered, the one sent last."""
        newest: Record | None = None
        done = 0
        self.retried = False
        for record in self.records:
            if record.seq >= ack:
                break
            end = record.end if record.end <= ack else ack
            if record.sacked:
                self.sacked_bytes -= end - record.seq
            else:
                if record.lost:
                    self.lost_bytes -= end - record.seq
                if newest is None or record.sent_at >= newest.sent_at:
                    newest = record
                if record.transmissions == 1:
                    self.first_try_end = end
                else:
                    self.retried = True
            if record.end > ack:
                record.seq = ack
                break
            record.lost = False
            done += 1
            if record.held is not None:
                record.held.drop()
        if done:
            del self.records[:done]
        return newest

    def mark_sacked(self, blocks: tuple[tuple[int, int], ...]) -> list[Record]:
        """Mark what `blocks` (unwrapped, within snd_una..snd_nxt) report; returns what that delivered."""
        delivered: list[Record] = []
        for block in blocks:
            if block in self._seen:
                continue
            left, right = block
            for seen_left, seen_right in self._seen:  # a block that grew: only its growth is news
                if seen_left <= left < seen_right:
                    left = seen_right
                if seen_left < right <= seen_right:
                    right = seen_left
            if left < right:
                self._mark_block(left, right, delivered)
        self._seen = blocks
        return delivered

    def _mark_block(self, left: int, right: int, delivered: list[Record]) -> None:
        records = self.records
        at = bisect_right(records, left, key=_END)
        while at < len(records) and records[at].seq < right:
            record = records[at]
            if not record.sacked:
                if record.seq < left:
                    self.split(at, left)
                    at += 1
                    record = records[at]
                if record.end > right:
                    self.split(at, right)
                record.sacked = True
                self.sacked_bytes += record.end - record.seq
                if record.lost:
                    record.lost = False
                    self.lost_bytes -= record.end - record.seq
                delivered.append(record)
                if record.transmissions == 1:
                    self.first_try_end = record.end
                if at and self._join(at):
                    at -= 1
            at += 1

    def _join(self, at: int) -> bool:
        """Fuse a sacked record with a sacked neighbour of the same payload: growing blocks leave crumbs."""
        left, right = self.records[at - 1], self.records[at]
        if not left.sacked or left.held is None or left.held is not right.held:
            return False
        left.end, left.fin = right.end, right.fin
        left.held.drop()
        del self.records[at]
        return True

    def split(self, at: int, seq: int) -> None:
        """Cut record number `at` in two at `seq`; the first part stays the same object."""
        left = self.records[at]
        right = Record(seq, left.end, left.fin, left.held, left.sent_at)
        right.transmissions, right.sacked, right.lost = left.transmissions, left.sacked, left.lost
        if left.held is not None:
            left.held.holders += 1
        left.end, left.fin = seq, 0
        self.records.insert(at + 1, right)

    def mark_lost(self, record: Record) -> None:
        """Take the record out of flight until it is sent again."""
        record.lost = True
        self.lost_bytes += record.end - record.seq
        if record.seq < self._lost_from:
            self._lost_from = record.seq

    def next_lost(self, most: int) -> Record | None:
        """The first lost record, cut to `most` bytes; None when nothing is lost."""
        if not self.lost_bytes:
            return None
        at = bisect_left(self.records, self._lost_from, key=_END)
        while not self.records[at].lost:
            at += 1
        record = self.records[at]
        if record.end - record.fin - record.seq > most:
            self.split(at, record.seq + most)
        self._lost_from = record.seq
        return record

    def resent(self, record: Record, now: float) -> None:
        """The record is in flight again."""
        if record.lost:
            record.lost = False
            self.lost_bytes -= record.end - record.seq
        record.sent_at = now
        record.transmissions += 1

    def mark_large(self, start: int, most: int) -> int:
        """What reaches beyond `start` and is longer than `most` bytes is lost; returns its bytes."""
        before = self.lost_bytes
        for record in self.records:
            if record.end <= start or record.sacked or record.lost:
                continue
            if record.end - record.fin - record.seq > most:
                self.mark_lost(record)
        return self.lost_bytes - before

    @property
    def resent_bytes(self) -> int:
        """Bytes that were sent again and have not been reported."""
        again = (
            each for each in self.records if each.transmissions > 1 and not each.sacked and not each.lost
        )
        return sum(each.end - each.seq for each in again)

    def forget_sacks(self) -> None:
        """The peer reneged (RFC 2018 section 8): nothing that it reported counts."""
        for record in self.records:
            record.sacked = False
        self.sacked_bytes = 0
        self._seen = ()

    def forget_losses(self) -> None:
        """Nothing was lost after all: what was marked and not sent again is in flight."""
        for record in self.records:
            record.lost = False
        self.lost_bytes = 0

    def clear(self) -> None:
        """Release everything."""
        for record in self.records:
            if record.held is not None:
                record.held.drop()
        self.records.clear()
        self.sacked_bytes = self.lost_bytes = self.reno_bytes = 0
        self._seen = ()
