from __future__ import annotations

import hashlib
import struct

from nodes.simulation.frame import frame_of
from nodes.simulation.journal import Journal


def test_the_digest_is_that_of_all_entries_however_often_it_is_asked_for() -> None:
    journal, expected = Journal(), hashlib.sha256()
    lines = journal.of_line(), journal.of_line()
    for number in range(3000):  # more than are hashed at a time
        header = struct.pack("!I", number) * 12
        lines[number % 2].began(number, frame_of(header, [memoryview(bytes(100))], 50, carried=False))
        expected.update(struct.pack("!IQII", number % 2 + 1, number, 100, 50) + header)
        if number % 1000 == 0:
            assert journal.digest == expected.hexdigest()
    assert (journal.frames, journal.digest) == (3000, expected.hexdigest())
