"""The sending half of a socket: send, sendall and sendmsg.

In: buffers, or ranges of a dma-buf that is bound for sending; flags. Out: how many bytes were taken. Owns
nothing. From registered memory (Host.memory) the endpoint copies itself; the bytes of any other buffer go in
the request, at most INLINE_BYTES a request.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable
from typing import Any

from nodes.client import ancillary, timeouts
from nodes.client.blocking_calls import BlockingCalls, LinkedSend
from nodes.client.failure import failure
from nodes.client.memory import MemoryRegistry
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import INLINE_BYTES, Done, Failed, SendMsg


class Sender:
    """Methods and errors are those of socket.socket."""

    __slots__ = ("_blocking", "_registry", "completed")

    def __init__(self, blocking: BlockingCalls, registry: MemoryRegistry) -> None:
        self._blocking = blocking
        self._registry = registry
        self.completed = 0  # zero-copy sends of the socket, as the last sendmsg of a dma-buf found it

    def send(self, data: Any, flags: int) -> int:
        return self._send(memoryview(data).cast("B"), flags, self._blocking.wait_s(flags))

    def sendall(self, data: Any, flags: int) -> None:
        view, wait_s = memoryview(data).cast("B"), self._blocking.wait_s(flags)
        monotonic = self._blocking.runtime.monotonic
        deadline = timeouts.deadline(monotonic(), wait_s)
        with timeouts.timed(wait_s):
            while view:
                sent = self._send(view, flags, timeouts.left_s(deadline, monotonic()))
                view = view[sent:]  # mypyc calls a function twice whose result begins a slice

    def sendmsg(self, buffers: Iterable[Any], ancdata: Iterable[tuple[int, int, Any]], flags: int) -> int:
        buffers = [*buffers]
        dmabuf_id, tsflags = ancillary.of_sendmsg(ancdata)
        if len(buffers) > uapi.UIO_MAXIOV:
            raise OSError(errno.EMSGSIZE, f"{len(buffers)} buffers, {uapi.UIO_MAXIOV} at most")
        if not dmabuf_id and not any(isinstance(each, tuple | list) for each in buffers):
            data = memoryview(b"".join(buffers))
            return self._send(data, flags, self._blocking.wait_s(flags), tsflags)
        iov = tuple(map(ancillary.dmabuf_range, buffers))
        request = SendMsg(flags, b"", None, dmabuf_id, iov, self._blocking.wait_s(flags), tsflags=tsflags)
        done = self._blocking.call(request, Done)
        self.completed = done.completed
        return done.value

    def linked(
        self, ranges: Iterable[Any], ancdata: Iterable[tuple[int, int, Any]], flags: int,
        told: Callable[[int | OSError], None],
    ) -> LinkedSend:  # fmt: skip
        """A sendmsg of a dma-buf, to be made with a receive: `told` hears what it would return or raise."""
        dmabuf_id, tsflags = ancillary.of_sendmsg(ancdata)
        iov = tuple(map(ancillary.dmabuf_range, ranges))

        def answer(sent: Done | Failed) -> None:
            if isinstance(sent, Failed):
                told(failure(sent))
            else:
                self.completed = sent.completed
                told(sent.value)

        request = SendMsg(flags, b"", None, dmabuf_id, iov, 0.0, tsflags=tsflags)
        return LinkedSend(self._blocking.calls.handle, request, answer)

    def _send(self, view: memoryview, flags: int, wait_s: float | None, tsflags: int = -1) -> int:
        """One call, of as many requests as its inline bytes need."""
        blocking, span = self._blocking, self._registry.span(view)
        if span is not None:
            request = SendMsg(flags, b"", span, 0, (), wait_s, tsflags=tsflags)
            return blocking.call(request, Done).value
        sent, deadline = 0, math.inf
        if len(view) > INLINE_BYTES:
            deadline = blocking.runtime.monotonic() + blocking.limit_s(wait_s, uapi.SO_SNDTIMEO)
        while True:
            part = bytes(view[sent : sent + INLINE_BYTES])
            more = sent + len(part) < len(view)
            request = SendMsg(flags, part, None, 0, (), wait_s, sent, more, tsflags)
            count = blocking.call(request, Done).value
            sent += count
            if not more or count < len(part):
                return sent
            wait_s = timeouts.left_s(deadline, blocking.runtime.monotonic())
