"""Payloads of any length in from the application, pieces of a wanted length out. Owns what waits.

net/ipv4/tcp_output.c tcp_fragment and tcp_collapse are its kin. No byte is looked at: payloads are cut and
joined by their own operations.
"""

from __future__ import annotations

from collections import deque

from nodes.tcp.segment import Payload


class SendQueue:
    """Bytes that were never sent."""

    __slots__ = ("_offset", "_payloads", "bytes")

    def __init__(self) -> None:
        self.bytes = 0
        self._payloads: deque[Payload] = deque()
        self._offset = 0  # bytes of the first payload that have already been taken

    def append(self, payload: Payload) -> None:
        """Take ownership of `payload`."""
        self.bytes += len(payload)
        self._payloads.append(payload)

    def take(self, count: int) -> Payload:
        """The next `count` bytes, 1 <= count <= bytes; fewer where kinds of payload meet that do not mix."""
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
        self.bytes = self._offset = 0
