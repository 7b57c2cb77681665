"""What happened in a simulation, as one number: a digest of every frame that began on every line, and when.

In: lines, and the frames that begin on them. Out: a SHA-256. Owns the hash. Two runs with the same digest
have sent the same headers in the same nanoseconds, on any machine.
"""

from __future__ import annotations

import hashlib
from typing import Final

from nodes.simulation.frame import Frame
from nodes.wire.network_order import BytesWriter, put_u32

_HASHED_BYTES: Final = 1 << 16  # at a time: a call of the hash takes longer than an entry


class Journal:
    """`frames`: how many it has been told of."""

    def __init__(self) -> None:
        self.frames = 0
        self._hash = hashlib.sha256()
        self._entries = BytesWriter()  # that the hash has not seen
        self._lines = 0

    def of_line(self) -> LineJournal:
        """What the next line tells of its frames. Lines are numbered in the order in which they ask."""
        self._lines += 1
        return LineJournal(self, self._lines)

    def began(self, line: int, at_ns: int, frame: Frame) -> None:
        """The frame begins on the line of that number."""
        self.frames += 1
        entries = self._entries
        put_u32(entries, line)
        put_u32(entries, at_ns >> 32)
        put_u32(entries, at_ns & 0xFFFFFFFF)
        put_u32(entries, frame.payload_bytes)
        put_u32(entries, frame.gso_size)  # of payload in each wire packet
        entries.write(frame.header)
        if len(entries) >= _HASHED_BYTES:
            self._hash_entries()

    def _hash_entries(self) -> None:
        self._hash.update(self._entries.getvalue())
        self._entries = BytesWriter()

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        self._hash_entries()
        return self._hash.hexdigest()


class LineJournal:
    """The journal, as one line tells it of its frames."""

    __slots__ = ("_journal", "_line")

    def __init__(self, journal: Journal, line: int) -> None:
        self._journal = journal
        self._line = line

    def began(self, at_ns: int, frame: Frame) -> None:
        """The frame begins on the line."""
        self._journal.began(self._line, at_ns, frame)
