"""How slow an accelerator is made on purpose: its work takes a multiple of the time.

In: how long an operation took. Out: a pause, so that with it the operation took as long as asked. Owns what
it still owes: a pause is only made of a millisecond or more, since a shorter one would last too long. The
factor lies in a file, which another process may write at any time.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

_FACTOR = struct.Struct("=d")
_PAUSE_S = 0.001


def write_factor(path: Path, factor: float) -> None:
    """1: as fast as this machine. Makes the file if there is none; a Pace sees it at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(_FACTOR.pack(factor))


class _Unpaced:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_UNPACED = _Unpaced()


def paced(pace: Pace | None) -> Pace | _Unpaced:
    """One operation is a block of it."""
    return _UNPACED if pace is None else pace


class Pace:
    """Of an accelerator whose factor is in the file `path`, and of one thread that uses it. `monotonic` and
    `sleep`: of the process's clock."""

    def __init__(self, path: Path, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        with open(path, "rb") as file:
            self._memory = mmap.mmap(file.fileno(), _FACTOR.size, prot=mmap.PROT_READ)
        self._monotonic, self._sleep = monotonic, sleep
        self._owed_s = self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._monotonic()

    def __exit__(self, *_: object) -> None:
        """Returns when the block would have ended, had the accelerator been so slow."""
        (factor,) = _FACTOR.unpack_from(self._memory)
        if factor <= 1:
            self._owed_s = 0.0
            return
        self._owed_s += (factor - 1) * (self._monotonic() - self._began)
        if self._owed_s >= _PAUSE_S:
            before = self._monotonic()
            self._sleep(self._owed_s)
            self._owed_s -= self._monotonic() - before

    def close(self) -> None:
        self._memory.close()
