"""The application's payloads in, of any length; pieces of the wanted length out. Owns data that was never
sent.

The part of sk_write_queue behind sk_send_head; tcp_fragment and tcp_collapse_retrans in net/ipv4/tcp_output.c
cut and join as this does. No byte is read: payloads are cut and joined by their own operations.
"""

from __future__ import annotations

from collections import deque

from nodes.tcp.segment import Payload


class SendQueue:
    """`bytes`: how many are queued. What MSG_EOR ended is never joined to what follows, nor are readable and
    unreadable bytes: `_breaks` has these places, counted in bytes since the start."""

    __slots__ = ("_breaks", "_offset", "_payloads", "_total", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._payloads: deque[Payload] = deque()
        self._total = 0  # bytes that were ever appended
        self._breaks: list[int] = []
        self._offset = 0  # bytes of the first payload that were already taken

    def append(self, payload: Payload) -> None:
        """Take ownership of `payload`."""
        if self._payloads and not self._payloads[-1].alike(payload):
            self.end_record()
        length = len(payload)
        self.bytes += length
        self._total += length
        self._payloads.append(payload)

    def end_record(self) -> None:
        """Nothing that follows is joined to what is queued now (MSG_EOR)."""
        if self.bytes and not (self._breaks and self._breaks[-1] == self._total):
            self._breaks.append(self._total)

    @property
    def run_bytes(self) -> int:
        """How many bytes may leave in one segment, were it not for their number."""
        return self._breaks[0] - self._total + self.bytes if self._breaks else self.bytes

    @property
    def ends_record(self) -> bool:
        """Whether nothing will be joined to the last byte that is queued."""
        return bool(self._breaks) and self._breaks[-1] == self._total

    @property
    def tail(self) -> Payload | None:
        """The last payload that is queued, None when there is none."""
        return self._payloads[-1] if self._payloads else None

    @property
    def tail_bytes(self) -> int:
        """How many queued bytes may lie in one segment with the last one: 0 when nothing may be joined to
        it."""
        return self._total - self._breaks[-1] if self._breaks else self.bytes

    def take(self, count: int) -> Payload:
        """The next `count` bytes, 1 <= count <= bytes, now the caller's. Fewer where the next payload cannot
        be joined to the one before it."""
        if not self._breaks:
            return self._take(count)
        piece = self._take(min(count, self.run_bytes))
        if self._breaks[0] == self._total - self.bytes:
            del self._breaks[0]
        return piece

    def _take(self, count: int) -> Payload:
        head, start = self._payloads[0], self._offset
        length = len(head) - start
        if length > count:
            self._offset = start + count
            self.bytes -= count
            return head.slice(start, start + count)
        self._payloads.popleft()
        self._offset = 0
        if start:
            rest = head.slice(start, start + length)
            head.release()
            head = rest
        if length < count:
            length += self._join(head, count - length)
        self.bytes -= length
        return head

    def _join(self, piece: Payload, wanted: int) -> int:
        """Append up to `wanted` bytes of the following payloads to `piece`; returns how many."""
        joined = 0
        while joined < wanted and self._payloads and piece.can_extend(self._payloads[0]):
            more = self._payloads[0]
            length = len(more)
            if length > wanted - joined:
                length = self._offset = wanted - joined
                piece.extend(more.slice(0, length))
            else:
                piece.extend(self._payloads.popleft())
            joined += length
        return joined

    def clear(self) -> None:
        """Release everything."""
        while self._payloads:
            self._payloads.popleft().release()
        self._breaks.clear()
        self.bytes = self._offset = 0
