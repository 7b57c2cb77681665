"""A wire for tests: frames in as bytes, frames out as bytes.

In: frames that a test puts on it, and frames that the NIC sends. Out: what a NIC sees of them, through
nodes.nic.wire_port.Wire. Owns both queues. Behaves like af_packet: every peek overwrites the same view, and
past the end of a short frame the view shows bytes of an earlier one; receive scatters, and loses the bytes
that the views have no room for.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nodes.nic.wire_port import PEEK_BYTES, RxFrame, TxOffload


@dataclass(frozen=True)
class QueuedFrame:
    """A frame that waits for the NIC; the fields are those of RxFrame."""

    frame: bytes
    gso_size: int = 0
    checksum_good: bool = False


@dataclass(frozen=True)
class Sent:
    """A frame that the NIC sent, and what is left to finish in it."""

    frame: bytes
    offload: TxOffload


class FakeWire:
    """`room`: how many frames it takes before it is busy, None: any number. `down`: it raises ENETDOWN."""

    def __init__(self) -> None:
        self.waiting: deque[QueuedFrame] = deque()
        self.sent: list[Sent] = []
        self.dropped = 0
        self.room: int | None = None
        self.down = False

    def put(self, frame: bytes, gso_size: int = 0, checksum_good: bool = False) -> None:
        """A frame for the NIC."""
        self.waiting.append(QueuedFrame(frame, gso_size, checksum_good))

    def peek(self) -> RxFrame | None:
        if not self.waiting:
            return None
        each = self.waiting[0]
        return RxFrame(
            each.frame[:PEEK_BYTES].ljust(PEEK_BYTES, b"\xee"),
            len(each.frame),
            each.gso_size,
            each.checksum_good,
        )

    def receive(self, views: Sequence[memoryview]) -> None:
        rest = memoryview(self.waiting.popleft().frame)
        for view in views:
            piece = rest[: len(view)]
            view[: len(piece)] = piece
            rest = rest[len(piece) :]

    def drop(self) -> None:
        self.waiting.popleft()
        self.dropped += 1

    def send(self, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        if self.down:
            raise OSError(errno.ENETDOWN, "the link is down")
        if self.room == 0:
            return False
        if self.room is not None:
            self.room -= 1
        self.sent.append(Sent(header + b"".join(payload), offload))
        return True

    def overruns(self) -> int:
        return 0
