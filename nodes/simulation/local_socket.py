"""A connection between two processes of a simulated host, of records, one of which may carry a descriptor.

In: records. Out: the same, in order, in no time: what it stands for is beside the network. Owns descriptors
that nobody has taken yet. A port is a number in the whole simulation.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import Any, Protocol

from greenlet import greenlet


class Threads(Protocol):
    """What of the simulation's scheduler a socket needs."""

    def wait(self, waiters: deque[greenlet], timeout_s: float | None, /) -> bool: ...

    def wake(self, waiters: deque[greenlet], count: int, /) -> None: ...


class SimulatedSocket:
    """Satisfies nodes.client.runtime.LocalSocket. `bound`: those that have a port, by its number."""

    def __init__(self, scheduler: Threads, bound: dict[int, SimulatedSocket]) -> None:
        self._scheduler = scheduler
        self._bound = bound
        self._port = 0
        self._timeout_s: float | None = None
        self._peer: SimulatedSocket | None = None
        self._asking: deque[SimulatedSocket] = deque()  # for a connection
        self._records: deque[tuple[bytes, int | None]] = deque()
        self._ended = False  # no more records come
        self._waiting: deque[greenlet] = deque()

    def bind(self, _address: Any, /) -> None:
        self._port = 1 + max(self._bound, default=0)
        self._bound[self._port] = self

    def listen(self, backlog: int = 1, /) -> None:
        """Any number of connections may wait to be taken."""

    def accept(self) -> tuple[SimulatedSocket, Any]:
        while not self._asking:
            self._wait()
        return self._asking.popleft(), None

    def connect(self, address: Any, /) -> None:
        listener = self._bound.get(address[1])
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at local port {address[1]}")
        other = SimulatedSocket(self._scheduler, self._bound)
        other.settimeout(listener._timeout_s)
        self._peer, other._peer = other, self
        listener._asking.append(other)
        listener._wake()

    def getsockname(self) -> tuple[str, int]:
        return "", self._port

    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> None:
        """Options of TCP and of NICs mean nothing here."""

    def settimeout(self, value: float | None, /) -> None:
        self._timeout_s = value

    def send(self, record: bytes, /) -> int:
        self._deliver(record, None)
        return len(record)

    def send_descriptor(self, fd: int, /) -> None:
        self._deliver(b"\0", fd)

    def recv(self, bufsize: int, /) -> bytes:
        record, fd = self._next()
        if fd is not None:
            os.close(fd)
        return record[:bufsize]

    def receive_descriptor(self) -> int | None:
        return self._next()[1]

    def shutdown(self, how: int, /) -> None:
        if how != socket.SHUT_RD and self._peer is not None:
            self._peer._ended = True
            self._peer._wake()

    def close(self) -> None:
        self._bound.pop(self._port, None)
        self.shutdown(socket.SHUT_WR)
        if self._peer is not None:
            self._peer._peer = None
            self._peer = None
        for _, fd in self._records:
            if fd is not None:
                os.close(fd)
        self._records.clear()

    def _deliver(self, record: bytes, fd: int | None) -> None:
        if self._peer is None:
            raise BrokenPipeError(errno.EPIPE, "the other end is closed")
        self._peer._records.append((record, None if fd is None else os.dup(fd)))
        self._peer._wake()

    def _next(self) -> tuple[bytes, int | None]:
        while not self._records:
            if self._ended:
                return b"", None
            self._wait()
        return self._records.popleft()

    def _wake(self) -> None:
        self._scheduler.wake(self._waiting, len(self._waiting))

    def _wait(self) -> None:
        if not self._scheduler.wait(self._waiting, self._timeout_s):
            raise TimeoutError("timed out")
