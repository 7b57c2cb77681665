"""A socket of the host's stack as a descriptor of the program.

In: blocking rules of Linux: O_NONBLOCK of the open file, SO_RCVTIMEO, SO_SNDTIMEO. Out: attempts of the
client's socket that never block, and waits between them. Owns the client's socket; its poll file is what the
program has as its descriptor, so that poll, select and epoll are the kernel's own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TypeVar

from nodes.client.socket import Socket
from nodes.supervisor.call import Wait
from nodes.supervisor.tokens import Tokens
from nodes.uapi import socket as uapi

_TIMEVAL = struct.Struct("=qq")
_T = TypeVar("_T")


class SocketFile:
    """`sock` never blocks."""

    def __init__(self, sock: Socket, nonblocking: bool) -> None:
        self.sock = sock
        self.tokens = Tokens()
        self.options: dict[tuple[int, int], bytes] = {}  # that were set, by level and number
        sock.settimeout(0)
        self._set_flags(nonblocking)

    def _set_flags(self, nonblocking: bool) -> None:
        """Of the open file that the program shares: the endpoint opens poll files with O_NONBLOCK."""
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_RDWR | (os.O_NONBLOCK if nonblocking else 0))

    @property
    def fd(self) -> int:
        return self.sock.fileno()

    @property
    def identity(self) -> str:
        """Of the poll file."""
        return os.readlink(f"/proc/self/fd/{self.fd}")

    @property
    def family(self) -> int:
        return self.sock.family

    @property
    def nonblocking(self) -> bool:
        return bool(fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_NONBLOCK)

    def blocks(self, flags: int = 0) -> bool:
        """Whether a call with these flags may wait."""
        return not flags & uapi.MSG_DONTWAIT and not self.nonblocking

    def wait(self, events: int, flags: int, option: int, deadline: float | None) -> Wait:
        """For a call that would block. Raises EAGAIN if it may not wait."""
        if not self.blocks(flags):
            raise BlockingIOError(errno.EAGAIN, "would block")
        return Wait(self, events, self.deadline(option) if deadline is None else deadline)

    def deadline(self, option: int) -> float | None:
        """Of a call that begins now: SO_RCVTIMEO or SO_SNDTIMEO."""
        value = self.sock.getsockopt(uapi.SOL_SOCKET, option, _TIMEVAL.size)
        seconds, micros = _TIMEVAL.unpack(value)  # type: ignore[arg-type]
        return time.monotonic() + seconds + micros / 1e6 if seconds or micros else None

    def until(
        self, attempt: Callable[[], _T], events: int, flags: int, option: int
    ) -> Generator[Wait, int, _T]:
        """What `attempt` returns, as soon as it does not raise BlockingIOError."""
        deadline: float | None = None
        while True:
            try:
                return attempt()
            except BlockingIOError:
                waiting = self.wait(events, flags, option, deadline)
                deadline = waiting.deadline
                yield waiting

    def of_linux(self) -> socket.socket:
        """A TCP socket of Linux's that is set as this one is."""
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.setblocking(not self.nonblocking)
        for (level, option), value in self.options.items():
            with suppress(OSError):
                sock.setsockopt(level, option, value)
        return sock

    def flush(self) -> None:
        """Tokens that the program has returned go back before its next call does."""
        if self.tokens.pending:
            self.tokens.flush(self.sock.dontneed)

    def close(self) -> None:
        self.flush()
        self.sock.settimeout(None)
        self.sock.close()
