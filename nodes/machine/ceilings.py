"""A bus of an emulated host: one bandwidth limit for the endpoint and all applications of the host.

In: bytes and `now`. Out: the time at which the caller may continue; nothing sleeps here.
Owns a memfd that the processes of the host map: the rate, and the time at which the bus is free. Every
application can write there, so an impossible time is ignored. `bandwidth` has the arithmetic, without
processes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading

from nodes.machine.bandwidth import QUEUE_S, served_at

_STATE = struct.Struct("=dd")  # bytes per second, CLOCK_MONOTONIC second at which the bus is free
_BACKLOG_MAX_S = 10.0  # users wait for what they request, so that a longer backlog is impossible
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL  # no process can cause SIGBUS in another


class Bus:
    """`fd` is passed to the other processes of the host, which make a Bus of it."""

    def __init__(self, fd: int) -> None:
        """Takes `fd` over."""
        self.fd = fd
        self._state = mmap.mmap(fd, _STATE.size)
        self.bytes_per_second = float(_STATE.unpack_from(self._state)[0])
        # A POSIX record lock keeps other processes out, the mutex other threads of this process.
        self._mutex = threading.Lock()

    @classmethod
    def create(cls, bytes_per_second: float) -> Bus:
        """A new bus, idle."""
        fd = os.memfd_create("bus", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, _STATE.pack(bytes_per_second, 0.0))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return cls(fd)

    def reserve(self, count: int, now: float, wait: bool = True) -> float:
        """Request `count` bytes; returns the CLOCK_MONOTONIC second at which the caller may
        continue. Raises BlockingIOError if another process holds the lock and `wait` is false."""
        with self._mutex:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            try:
                free_at = _STATE.unpack_from(self._state)[1]
                if not free_at < now + _BACKLOG_MAX_S:  # impossible; NaN too
                    free_at = now
                done_at = served_at(free_at, count, self.bytes_per_second, now)
                _STATE.pack_into(self._state, 0, self.bytes_per_second, done_at)
            finally:
                fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return float(done_at) - QUEUE_S

    def renew(self) -> None:
        """This process is a forked child: no thread of its own holds the mutex."""
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Unmap the state and close `fd`; the bus goes on for other processes."""
        self._state.close()
        os.close(self.fd)
