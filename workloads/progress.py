"""How long a rank waits for another: for as long as anything moves in the experiment.

In: calls that may block, each for at most `timeout_s`; a report of every success. Out: what the calls return,
or their TimeoutError when nothing has moved for `timeout_s`. A rank that waits behind a slow transfer between
two others is patient with it. Owns a memfd that all ranks of an experiment on a machine map: the time when a
byte moved, or a rank arrived, last.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from nodes.client.runtime import Runtime

_MOVED_AT = struct.Struct("=d")  # CLOCK_MONOTONIC second, written and read in one piece
P = ParamSpec("P")
T = TypeVar("T")


class Progress:
    """One for each rank; `adopt` makes several share their record. Any thread may call it."""

    def __init__(self, runtime: Runtime, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._runtime = runtime
        self.fd = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, _MOVED_AT.size)
        self._record = mmap.mmap(self.fd, _MOVED_AT.size)

    def adopt(self, fd: int) -> None:
        """Share another rank's record from now on. Takes `fd` over."""
        self.close()
        self.fd = fd
        self._record = mmap.mmap(fd, _MOVED_AT.size)

    def moved(self) -> None:
        """Something has moved now."""
        _MOVED_AT.pack_into(self._record, 0, self._runtime.monotonic())

    def age_s(self) -> float:
        """How long ago something moved last."""
        moved_at: float = _MOVED_AT.unpack_from(self._record)[0]
        return self._runtime.monotonic() - moved_at

    def moved_ago(self, age_s: float) -> None:
        """Something moved so long ago, as another record says, if that is news here."""
        moved_at = self._runtime.monotonic() - age_s
        if moved_at > _MOVED_AT.unpack_from(self._record)[0]:
            _MOVED_AT.pack_into(self._record, 0, moved_at)

    def wait(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `call` returns, which has then moved something. `call` raises TimeoutError after `timeout_s`,
        having done nothing, and is called again while something has moved. Raises what it raises."""
        began = self._runtime.monotonic()
        while True:
            try:
                result = call(*args, **kwargs)
            except (TimeoutError, BlockingIOError):
                (moved_at,) = _MOVED_AT.unpack_from(self._record)
                if self._runtime.monotonic() - max(began, moved_at) >= self.timeout_s:
                    raise
            else:
                self.moved()
                return result

    def close(self) -> None:
        """Safe to call again."""
        if not self._record.closed:
            self._record.close()
            os.close(self.fd)


class Movement:
    """The record of a rank that is another process, for one that takes no part; also a context manager.
    Raises OSError when there is no such process."""

    def __init__(self, pid: int, fd: int) -> None:
        file = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._record = mmap.mmap(file, _MOVED_AT.size, prot=mmap.PROT_READ)
        finally:
            os.close(file)

    def __enter__(self) -> Movement:
        return self

    def __exit__(self, *_: object) -> None:
        self._record.close()

    def last_s(self) -> float:
        """CLOCK_MONOTONIC second in which something moved last."""
        (moved_at,) = _MOVED_AT.unpack_from(self._record)
        return float(moved_at)
