"""The files of `--pcap` and `--trace`: whole records, written soon, and given up when they cannot be.

In: records (`write`), turns of the loop. Out: the file, which ends with a whole record at any time, also
after SIGKILL, unless that comes while the kernel copies; a sentence on standard error when it cannot be
written any more, and another with the number of lost records at the end. Owns the descriptor and the records
that wait: for 0.1 s, and no more than 1 MiB. A file that cannot be written ends the recording, and never the
endpoint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from math import inf

FLUSH_S = 0.1
BUFFER_BYTES = 1 << 20


class RecordFile:
    """`option` and `path` name the file in messages. Raises OSError when it cannot be opened."""

    def __init__(self, option: str, path: str) -> None:
        self._name = f"{option} {path!r}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._written_bytes = 0  # whole records
        self.ended = False
        self.lost = 0  # records since it ended

    @property
    def pending(self) -> bool:
        return bool(self._waiting)

    def write(self, record: bytes) -> None:
        """Add one record; it never fails."""
        if self.ended:
            self.lost += 1
            return
        self._waiting.append(record)
        self._waiting_bytes += len(record)
        if self._waiting_bytes >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Of a disk that is full the file is cut back to its last whole record."""
        records, self._waiting, self._waiting_bytes = self._waiting, [], 0
        data = memoryview(b"".join(records))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as e:
            self._end(records, written, e)
            return
        self._written_bytes += written

    def _end(self, records: Sequence[bytes], written: int, reason: OSError) -> None:
        self.ended = True
        whole = saved = 0
        for record in records:
            if whole + len(record) > written:
                break
            whole += len(record)
            saved += 1
        self.lost += len(records) - saved
        self._written_bytes += whole
        with suppress(OSError):  # a pipe cannot be cut back
            os.ftruncate(self._fd, self._written_bytes)
        print(
            f"endpoint: {self._name} cannot be written any more ({reason.strerror}): the recording ends, the"
            " endpoint goes on; make room and start it again to record again",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        if self._waiting:
            self.flush()
        if self.ended:
            print(f"endpoint: {self._name} lacks {self.lost} records", file=sys.stderr, flush=True)
        with suppress(OSError):
            os.close(self._fd)


class Recordings:
    """All such files of an endpoint."""

    def __init__(self, files: Sequence[RecordFile] = ()) -> None:
        self._files = files
        self._flush_at = inf

    def turn(self, now: float, next_turn: float | None) -> float | None:
        """Flush what has waited long enough. Returns when the next turn is due: `next_turn`, or the next
        flush if that is sooner."""
        if now >= self._flush_at:
            self._flush_at = inf
            for file in self._files:
                file.flush()
        elif self._flush_at == inf and any(file.pending for file in self._files):
            self._flush_at = now + FLUSH_S
        if self._flush_at == inf:
            return next_turn
        return self._flush_at if next_turn is None else min(next_turn, self._flush_at)
