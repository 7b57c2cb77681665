"""The host's memory bus with a speed limit, shared by all processes of one emulated host.

In: bytes of DRAM accesses and `now`. Out: the time until which whoever made them has to wait; nothing
sleeps here. The state is one number in a shared memfd: when the bus will have served all it was given.
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


class MemoryBus:
    """First come, first served; `fd` is passed to the other processes of the host."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._state = mmap.mmap(fd, _STATE.size)
        # A POSIX record lock keeps other processes out, the mutex this process's other threads.
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, bytes_per_second: float) -> MemoryBus:
        fd = os.memfd_create("memory-bus", os.MFD_CLOEXEC)
        os.ftruncate(fd, _STATE.size)
        bus = cls(fd)
        _STATE.pack_into(bus._state, 0, bytes_per_second, 0.0)
        return bus

    @property
    def bytes_per_second(self) -> float:
        return float(_STATE.unpack_from(self._state)[0])

    def reserve(self, count: int, now: float) -> float:
        """Queue `count` bytes of accesses; returns the CLOCK_MONOTONIC second when the caller may go on."""
        with self._mutex:
            fcntl.lockf(self.fd, fcntl.LOCK_EX)
            try:
                rate, free_at = _STATE.unpack_from(self._state)
                done_at = max(now, free_at) + count / rate
                _STATE.pack_into(self._state, 0, rate, done_at)
            finally:
                fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return float(done_at) - QUEUE_S

    def close(self) -> None:
        self._state.close()
        os.close(self.fd)
