"""Out-of-order payload in, contiguous payload and SACK blocks out. Owns payload that waits for a hole to
close.

The kernel's out_of_order_queue: net/ipv4/tcp_input.c tcp_data_queue_ofo, tcp_sack_new_ofo_skb; RFC 2018
section 4. The bytes that came first are kept: a later segment contributes only the bytes that are new, so no
byte is delivered twice and none is replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from nodes.tcp.segment import Payload

_END = attrgetter("end")
_MAX_BLOCKS = 4  # SACK blocks that fit a header without timestamps
_BLOCKS_EXPECTED = 2  # TCP_SACK_BLOCKS_EXPECTED: that fit beside timestamps and a D-SACK


class _Range:
    """Contiguous bytes [start, end) beyond a hole, as the list of payloads in which they came. The last
    number may be the FIN's, which has no payload."""

    __slots__ = ("end", "payloads", "start")

    def __init__(self, start: int, end: int, payloads: list[Payload]) -> None:
        self.start = start
        self.end = end
        self.payloads = payloads


class Reassembly:
    """Ranges in order of sequence that never touch or overlap. `_recent`: the same ranges, the one changed
    last first, as SACK reports them."""

    __slots__ = ("_ranges", "_recent")

    def __init__(self) -> None:
        self._ranges: list[_Range] = []
        self._recent: list[_Range] = []

    def __len__(self) -> int:
        """Number of separate ranges; 0 when nothing is out of order."""
        return len(self._ranges)

    @property
    def bytes(self) -> int:
        """Number of bytes that wait."""
        return sum(each.end - each.start for each in self._ranges)

    @property
    def end(self) -> int:
        """The highest sequence number that waits, plus one. There must be a range."""
        return self._ranges[-1].end

    def insert(self, start: int, payload: Payload) -> tuple[int, int] | None:
        """Take ownership of `payload` at `start`. Returns the first of its sequence space that was here
        before, which a D-SACK reports, or None."""
        end = start + len(payload)
        ranges = self._ranges
        first = last = bisect_left(ranges, start, key=_END)
        while last < len(ranges) and ranges[last].start <= end:
            last += 1
        touched = ranges[first:last]
        merged, duplicate = self._merge(start, end, payload, touched)
        ranges[first:last] = [merged]
        self._recent = [merged, *(each for each in self._recent if each not in touched)][:_MAX_BLOCKS]
        return duplicate

    def hides_block(self, start: int, end: int) -> bool:
        """Whether payload [start, end) would push a block so far back that the next ACK might not report
        it (tcp_sack_new_ofo_skb)."""
        for place, each in enumerate(self._recent):
            if each.start <= end and start <= each.end:
                return place >= _BLOCKS_EXPECTED
        return len(self._recent) >= _MAX_BLOCKS

    def insert_fin(self, seq: int) -> bool:
        """A FIN beyond a hole is reported by SACK as payload is: it becomes the last number of a range. False
        if payload from behind it was received, which contradicts it."""
        ranges = self._ranges
        last = ranges[-1] if ranges else None
        if last is not None and last.end > seq:
            return False
        if last is not None and last.end == seq:
            last.end = seq + 1
        else:
            last = _Range(seq, seq + 1, [])
            ranges.append(last)
        self._recent = [last, *(each for each in self._recent if each is not last)][:_MAX_BLOCKS]
        return True

    @staticmethod
    def _merge(
        start: int, end: int, payload: Payload, touched: list[_Range]
    ) -> tuple[_Range, tuple[int, int] | None]:
        """One range of the ranges in `touched` and of the bytes of `payload` that lie in their gaps."""
        if not touched:
            return _Range(start, end, [payload]), None
        payloads: list[Payload] = []
        duplicate: tuple[int, int] | None = None
        at, uncut = start, True
        for each in touched:
            if at < each.start:
                payloads.append(payload.slice(at - start, each.start - start))
                uncut = False
            overlap = (max(start, each.start), min(end, each.end))
            if duplicate is None and overlap[0] < overlap[1]:
                duplicate = overlap
            payloads = payloads + each.payloads if payloads else each.payloads
            at = max(at, each.end)
        if at < end:
            if uncut and at == start:
                payloads.append(payload)
                return _Range(touched[0].start, end, payloads), duplicate
            payloads.append(payload.slice(at - start, end - start))
        payload.release()
        return _Range(min(start, touched[0].start), max(end, at), payloads), duplicate

    def take(self, start: int) -> tuple[int, list[Payload]] | None:
        """The range that begins at `start`, if there is one: its end and its payloads, now the caller's."""
        if not self._ranges or self._ranges[0].start != start:
            return None
        first = self._ranges.pop(0)
        self._recent = [each for each in self._recent if each is not first]
        return first.end, first.payloads

    def prune(self, count: int) -> None:
        """Release at least `count` bytes, or all that there are, the highest sequence numbers first. They
        are no longer in `blocks`."""
        while count > 0 and self._ranges:
            last = self._ranges[-1]
            while count > 0 and last.payloads:
                payload = last.payloads.pop()
                count -= len(payload)
                last.end -= len(payload)
                payload.release()
            if not last.payloads:
                self._ranges.pop()
                self._recent = [each for each in self._recent if each is not last]

    def blocks(self) -> tuple[tuple[int, int], ...]:
        """SACK blocks (unwrapped), the most recently changed first."""
        return tuple((each.start, each.end) for each in self._recent)

    def clear(self) -> None:
        """Release everything."""
        for each in self._ranges:
            for payload in each.payloads:
                payload.release()
        self._ranges.clear()
        self._recent.clear()
