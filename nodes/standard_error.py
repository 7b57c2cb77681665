"""Standard error that never fails, for a process that has to go on, or to end in order, whatever it is.

In: text. Out: the text on a descriptor as far as that takes it: a log may be on a disk that is full, and a
terminal may have been closed. The rest is lost. Owns nothing.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any, TextIO


class _Descriptor(io.RawIOBase):
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = memoryview(data)
        length = left.nbytes
        with suppress(OSError):
            while left:
                left = left[os.write(self._fd, left) :]
        return length


def standard_error(fd: int = 2) -> TextIO:
    """A stream to be sys.stderr."""
    descriptor: Any = _Descriptor(fd)
    return io.TextIOWrapper(descriptor, "utf-8", "backslashreplace", write_through=True)
