"""The system calls of one socket, from any number of threads: each call has a channel to itself.

In: requests. Out: replies. Owns the socket's channels: the first one; one more for each call that came while
all others were busy; and those that replace a channel whose call was left by a signal handler. The socket
closes with the last of them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from nodes.client.calls import Calls
from nodes.client.runtime import MACHINE, Runtime
from nodes.uapi.syscalls import (
    Accept,
    Accepted,
    AttachSocket,
    Close,
    Done,
    OpenSocket,
    Reply,
    Request,
    SocketNames,
)

_R = TypeVar("_R", bound=Reply)
_A = TypeVar("_A")
_REPLACE_S = 1.0  # an endpoint that is stopped does not hold up a signal handler's exception for longer


class SocketCalls:
    """`handle` is the socket's number at the endpoint; `calls` a channel that serves it."""

    def __init__(self, calls: Calls, handle: int) -> None:
        self.path = calls.path
        self.runtime = calls.runtime
        self.handle = handle
        self.closed = False
        self._open = [calls]  # all channels, those in use by a call included
        self._idle = [calls]  # the last one used is the next
        # Channels with a reply to come, or the parent's in a forked child: they hold the socket open until
        # another channel does.
        self._abandoned: list[Calls] = []

    @classmethod
    def open(cls, path: str, family: int, runtime: Runtime = MACHINE) -> SocketCalls:
        """A new socket. Raises EAFNOSUPPORT, and OSError when no endpoint listens at `path`."""
        calls = Calls(path, runtime)
        try:
            return cls(calls, calls.call(OpenSocket(family), Done).value)
        except BaseException:
            calls.close()
            raise

    def dup(self) -> SocketCalls:
        """The same socket, by a channel of its own: EBADF when the socket is closed."""
        return SocketCalls(self._attached(), self.handle)

    def call(self, request: Request, kind: type[_R]) -> _R:
        """As Calls.call."""
        return self._through(Calls.call, request, kind)

    def call_for_fds(self, request: Request, kind: type[_R]) -> tuple[_R, list[int]]:
        """As Calls.call_for_fds."""
        return self._through(Calls.call_for_fds, request, kind)

    def accept(self, request: Accept) -> tuple[Accepted, SocketCalls]:
        """The next connection. Its channel is opened before the connection is asked for, and is attached to
        it before the listener's channel may close: neither a lack of descriptors nor a close by another
        thread loses the connection."""
        fresh = Calls(self.path, self.runtime)

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
        """A channel with a reply to come is replaced at once, and closed: the call that is still blocked in
        it must not take data that later calls are to receive."""
        (self._abandoned if calls.reply_pending else self._idle).append(calls)
        if calls.reply_pending and not self.closed:
            with suppress(OSError):  # the next call tries again
                self._idle.append(self._another(_REPLACE_S))
        if self.closed:
            self._close_idle()

    def _another(self, patience_s: float | None = None) -> Calls:
        calls = self._attached(patience_s)
        self._open.append(calls)
        self._close_all(self._abandoned)
        return calls

    def _attached(self, patience_s: float | None = None) -> Calls:
        """A new channel that serves the socket. TimeoutError after `patience_s`."""
        calls = Calls(self.path, self.runtime)
        try:
            calls.call_within(patience_s, AttachSocket(self.handle), SocketNames)
        except BaseException:
            calls.close()
            raise
        return calls

    def linger(self) -> None:
        """Close as the last holder of a socket with SO_LINGER: wait until the endpoint says that everything
        is acknowledged, or that the time is over."""
        calls = self._take()
        self._close_idle()
        try:
            with suppress(OSError):  # the time is over, or the endpoint is
                calls.call(Close(), Done)
        finally:
            self._give_back(calls)

    def close(self) -> None:
        """A call that another thread is blocked in goes on, as in Linux; its channel closes after it."""
        self.closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        self._close_all(self._idle)
        self._close_all(self._abandoned)

    def _close_all(self, channels: list[Calls]) -> None:
        with suppress(IndexError):
            while True:
                calls = channels.pop()
                with suppress(ValueError):  # a close by another thread was faster
                    self._open.remove(calls)
                calls.close()

    def renew(self) -> None:
        """This process is a forked child: the next call attaches a channel of its own. The parent's channels
        hold the socket open until then, and end here as descriptors alone."""
        self._idle, self._abandoned = [], [*self._open]
        if self.closed:
            self._close_idle()
