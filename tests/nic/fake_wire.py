"""A wire that a test holds in its hands: frames in as bytes, frames out as bytes.

In: frames that a test puts on it, and what the NIC sends. Out: what a NIC's driver sees of them, through
nodes.nic.wire_port.Wire. Owns both queues. Behaves like af_packet: the view of peek is reused and, past a
short frame, shows what an earlier one left; receive scatters, and loses what the views do not hold.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nodes.nic.af_packet import PEEK_BYTES, VNET_BYTES, Arriving, Departing


@dataclass(frozen=True)
class Arrival:
    frame: bytes
    gso_size: int = 0
    checksum_good: bool = False


@dataclass(frozen=True)
class Sent:
    """A frame the NIC sent, and how it was to be finished."""

    frame: bytes
    how: Departing


class FakeWire:
    """`room`: frames it takes before it is busy, None for any number; `down`: refuses them with ENETDOWN."""

    def __init__(self) -> None:
        self.arriving: deque[Arrival] = deque()
        self.sent: list[Sent] = []
        self.dropped = 0
        self.room: int | None = None
        self.down = False
        self._first = memoryview(bytearray(b"\xee" * (PEEK_BYTES - VNET_BYTES)))

    def put(self, frame: bytes, gso_size: int = 0, checksum_good: bool = False) -> None:
        """A frame arrives."""
        self.arriving.append(Arrival(frame, gso_size, checksum_good))

    def peek(self) -> Arriving | None:
        if not self.arriving:
            return None
        each = self.arriving[0]
        seen = each.frame[: len(self._first)]
        self._first[: len(seen)] = seen
        return Arriving(self._first, len(each.frame), each.gso_size, each.checksum_good)

    def receive(self, views: Sequence[memoryview]) -> None:
        rest = memoryview(self.arriving.popleft().frame)
        for view in views:
            piece = rest[: len(view)]
            view[: len(piece)] = piece
            rest = rest[len(piece) :]

    def drop(self) -> None:
        self.arriving.popleft()
        self.dropped += 1

    def send(self, headers: bytes, payload: Sequence[memoryview], how: Departing) -> bool:
        if self.down:
            raise OSError(errno.ENETDOWN, "the link is down")
        if self.room == 0:
            return False
        if self.room is not None:
            self.room -= 1
        self.sent.append(Sent(headers + b"".join(payload), how))
        return True

    def overruns(self) -> int:
        return 0
