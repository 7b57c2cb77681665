"""The host's memory bus with a speed limit, shared by all processes of one emulated host.

In: bytes of DRAM accesses and `now`. Out: the time until which whoever made them has to wait; nothing
sleeps here. The state is one number in a shared memfd: when the bus will have served all it was given. Every
application of the host can write there, so nobody takes it for true what could not be.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading

# Write buffers and posted DMA let a machine run this far ahead of its memory. Without it the bus would idle
# while its users compute, and nobody would ever get the bandwidth that was set.
QUEUE_S = 2e-3

_STATE = struct.Struct("=dd")  # bytes per second, CLOCK_MONOTONIC second at which the bus is free
_BACKLOG_MAX_S = 10.0  # users wait for what they asked for: more than this is nonsense
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # no SIGBUS for whoever maps it


class MemoryBus:
    """First come, first served; `fd` is passed to the other processes of the host."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._state = mmap.mmap(fd, _STATE.size)
        self.bytes_per_second = float(_STATE.unpack_from(self._state)[0])
        # A POSIX record lock keeps other processes out, the mutex this process's other threads.
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, bytes_per_second: float) -> MemoryBus:
        fd = os.memfd_create("memory-bus", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, _STATE.pack(bytes_per_second, 0.0))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return cls(fd)

    def reserve(self, count: int, now: float, wait: bool = True) -> float:
        """Queue `count` bytes of accesses; returns the CLOCK_MONOTONIC second when the caller may go on.
        Raises BlockingIOError if another process is at it and the caller will not `wait` for it."""
        with self._mutex:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            try:
                free_at = _STATE.unpack_from(self._state)[1]
                if not now < free_at < now + _BACKLOG_MAX_S:  # idle, or nonsense
                    free_at = now
                done_at = free_at + count / self.bytes_per_second
                _STATE.pack_into(self._state, 0, self.bytes_per_second, done_at)
            finally:
                fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return float(done_at) - QUEUE_S

    def close(self) -> None:
        self._state.close()
        os.close(self.fd)
