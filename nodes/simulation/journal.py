"""What happened in a simulation, as one number: a digest of every frame that began on every line, and when.

In: lines, and the frames that begin on them. Out: a SHA-256. Owns the hash. Two runs with the same digest
have sent the same headers in the same nanoseconds, on any machine.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from nodes.simulation.frame import Frame

_HASHED_BYTES: Final = 1 << 16  # at a time: a call of the hash takes longer than an entry
_ENTRY: Final = struct.Struct("!IQII")  # line's number, nanosecond, bytes of payload, of each wire packet


class Journal:
    """`frames`: how many it has been told of."""

    def __init__(self) -> None:
        self.frames = 0
        self._hash = hashlib.sha256()
        self._entries = bytearray()  # that the hash has not seen
        self._lines = 0

    def of_line(self) -> LineJournal:
        """What the next line tells of its frames. Lines are numbered in the order in which they ask."""
        self._lines += 1
        return LineJournal(self, self._lines)

    def began(self, line: int, at_ns: int, frame: Frame) -> None:
        """The frame begins on the line of that number."""
        self.frames += 1
        entries = self._entries
        entries += _ENTRY.pack(line, at_ns, frame.payload_bytes, frame.gso_size)
        entries += frame.header
        if len(entries) >= _HASHED_BYTES:
            self._hash_entries()

    def _hash_entries(self) -> None:
        self._hash.update(self._entries)
        self._entries.clear()

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
