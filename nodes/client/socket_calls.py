"""The system calls of one socket, from any number of threads: each has a channel to itself.

In: requests. Out: replies. Owns the socket's channels: the first one, and those that were opened because a
call came while the others were busy, or in place of one that a signal handler left. The socket closes with
the last of them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from nodes.client.calls import Calls
from nodes.uapi.syscalls import (
    Accept,
    Accepted,
    AttachSocket,
    Done,
    OpenSocket,
    Reply,
    Request,
    SocketNames,
)

_R = TypeVar("_R", bound=Reply)
_A = TypeVar("_A")
_REPLACE_S = 1.0  # an endpoint that is stopped does not keep a signal handler's exception from its way


class SocketCalls:
    """`handle` is the socket's number at the endpoint; `calls` a channel that serves it."""

    def __init__(self, calls: Calls, handle: int) -> None:
        self.path = calls.path
        self.handle = handle
        self.closed = False
        self._idle = [calls]  # the last one used is the next
        self._left: list[Calls] = []  # with a reply to come; open until another one holds the socket

    @classmethod
    def open(cls, path: str, family: int) -> SocketCalls:
        """A new socket. Raises EAFNOSUPPORT, and OSError when nobody listens at `path`."""
        calls = Calls(path)
        try:
            return cls(calls, calls.call(OpenSocket(family), Done).value)
        except BaseException:
            calls.close()
            raise

    @classmethod
    def attach(cls, path: str, handle: int) -> SocketCalls:
        """A socket that there is already: EBADF if not."""
        return cls(_attached(path, handle), handle)

    def call(self, request: Request, kind: type[_R]) -> _R:
        """As Calls.call."""
        return self._through(Calls.call, request, kind)

    def call_for_fds(self, request: Request, kind: type[_R]) -> tuple[_R, list[int]]:
        """As Calls.call_for_fds."""
        return self._through(Calls.call_for_fds, request, kind)

    def accept(self, request: Accept) -> tuple[Accepted, SocketCalls]:
        """The next connection. The channel for it is open before it is asked for, and holds it before the
        listener's may close: neither a lack of descriptors nor another thread's close loses it."""
        fresh = Calls(self.path)

        def accept(calls: Calls, request: Request, kind: type[Accepted]) -> Accepted:
            accepted = calls.call(request, kind)
            fresh.call(AttachSocket(accepted.handle), SocketNames)
            return accepted

        try:
            accepted = self._through(accept, request, Accepted)
        except BaseException:
            fresh.close()
            raise
        return accepted, SocketCalls(fresh, accepted.handle)

    def _through(
        self, make: Callable[[Calls, Request, type[_R]], _A], request: Request, kind: type[_R]
    ) -> _A:
        calls = self._take()
        try:
            return make(calls, request, kind)
        finally:
            self._give_back(calls)

    def post(self, request: Request) -> None:
        """Send a request that has no reply."""
        calls = self._take()
        try:
            calls.post(request)
        finally:
            self._give_back(calls)

    def _take(self) -> Calls:
        if self.closed:
            raise OSError(errno.EBADF, "the socket is closed")
        try:
            return self._idle.pop()
        except IndexError:
            return self._another()

    def _give_back(self, calls: Calls) -> None:
        """One with a reply to come is replaced at once: the call that waits there is to take no more data."""
        (self._left if calls.owed else self._idle).append(calls)
        if calls.owed and not self.closed:
            with suppress(OSError):  # the next call tries again
                self._idle.append(self._another(_REPLACE_S))
        if self.closed:
            self._close_idle()

    def _another(self, patience_s: float | None = None) -> Calls:
        calls = _attached(self.path, self.handle, patience_s)
        _close_all(self._left)
        return calls

    def close(self) -> None:
        """A call that another thread is blocked in goes on, as in Linux; its channel closes after it."""
        self.closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        _close_all(self._idle)
        _close_all(self._left)


def _close_all(channels: list[Calls]) -> None:
    with suppress(IndexError):
        while True:
            channels.pop().close()


def _attached(path: str, handle: int, patience_s: float | None = None) -> Calls:
    calls = Calls(path)
    try:
        calls.call_within(patience_s, AttachSocket(handle), SocketNames)
    except BaseException:
        calls.close()
        raise
    return calls
