"""What happened in a simulation, as one number: a digest of every frame that began on every line, and when.

In: lines, and the frames that begin on them. Out: a SHA-256. Owns the hash. Two runs with the same digest
have sent the same headers in the same nanoseconds, on any machine.
"""

from __future__ import annotations

import hashlib
import struct
from functools import partial

from nodes.simulation.frame import Frame
from nodes.simulation.line import Journal as Told

_ENTRY = struct.Struct("!IQII")  # number of the line, nanosecond, bytes of payload, of each wire packet


class Journal:
    """`frames`: how many it has been told of."""

    def __init__(self) -> None:
        self.frames = 0
        self._hash = hashlib.sha256()
        self._lines = 0

    def of_line(self) -> Told:
        """What the next line tells of its frames. Lines are numbered in the order in which they ask."""
        self._lines += 1
        return partial(self._began, self._lines)

    def _began(self, line: int, at_ns: int, frame: Frame) -> None:
        self.frames += 1
        self._hash.update(_ENTRY.pack(line, at_ns, frame.payload_bytes, frame.gso_size) + frame.header)

    @property
    def digest(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()
