"""The receiving half of a socket: recv, recv_into, recvmsg and recvmsg_into.

In: buffers, sizes, flags. Out: bytes and control messages, as socket.socket has them. Owns nothing. Into
registered memory (Host.memory) the endpoint copies itself; for any other buffer the bytes come in the reply,
at most INLINE_BYTES a request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from nodes.client import ancillary, timeouts
from nodes.client.address import Address, of_end
from nodes.client.ancillary import Ancillary
from nodes.client.blocking_calls import BlockingCalls, LinkedSend
from nodes.client.memory import MemoryRegistry
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import (
    INLINE_BYTES,
    NO_MEMORY,
    Completion,
    ReadErrQueue,
    RecvMsg,
    RecvReply,
    Span,
)


class Receiver:
    """Of a socket of `family`. Methods and errors are those of socket.socket."""

    __slots__ = ("_blocking", "_family", "_registry", "first", "returning")

    def __init__(self, blocking: BlockingCalls, registry: MemoryRegistry, family: int) -> None:
        self._blocking = blocking
        self._registry = registry
        self._family = family
        self.returning = b""  # tokens that go back with the next request
        self.first: LinkedSend | None = None  # that goes ahead of the next request, and with it

    def recv(self, bufsize: int, flags: int) -> bytes:
        if bufsize < 0:
            raise ValueError(f"negative buffersize in recv: {bufsize}")
        if flags & uapi.MSG_ERRQUEUE:
            return self._read_errqueue(bufsize, 0)[0]
        if bufsize == 0:
            return b""
        return _data(self._receive(bufsize, 0, flags), flags)

    def recv_into(self, buffer: Any, nbytes: int, flags: int) -> int:
        view = _writable(buffer, "recv_into")
        if nbytes < 0:
            raise ValueError(f"negative buffersize in recv_into: {nbytes}")
        if nbytes > len(view):
            raise ValueError(f"buffer of {len(view)} bytes too small for requested bytes: {nbytes}")
        view = view[:nbytes] if nbytes else view
        if flags & uapi.MSG_ERRQUEUE:
            data = self._read_errqueue(len(view), 0)[0]
            view[: len(data)] = data
            return len(data)
        return self._receive_into(view, 0, flags).count if view else 0

    def recvmsg(
        self, bufsize: int, ancbufsize: int, flags: int
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        if bufsize < 0:
            raise ValueError(f"negative buffer size in recvmsg(): {bufsize}")
        _check_ancbufsize(ancbufsize)
        if flags & uapi.MSG_ERRQUEUE:
            return self._read_errqueue(bufsize, ancbufsize)
        reply = self._receive(bufsize, ancbufsize, flags)
        return _data(reply, flags), *ancillary.received(reply.cmsgs, reply.control, ancbufsize), None

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int, flags: int
    ) -> tuple[int, list[Ancillary], int, Address | None]:
        buffers = [*buffers]
        budget = sum(b for b in buffers if isinstance(b, int))
        views = [_writable(b, "recvmsg_into") for b in buffers if not isinstance(b, int)]
        _check_ancbufsize(ancbufsize)
        if flags & uapi.MSG_ERRQUEUE:
            room = budget + sum(len(view) for view in views)
            data, messages, flags, name = self._read_errqueue(room, ancbufsize)
            _scatter(data, views)
            return len(data), messages, flags, name
        if not views:
            reply = self._receive(budget, ancbufsize, flags, NO_MEMORY)
        elif len(views) == 1:
            reply = self._receive_into(views[0], budget, flags, ancbufsize)
        else:
            room = sum(len(view) for view in views)
            reply = self._receive(room + budget, ancbufsize, flags, room=room)
            _scatter(reply.data, views)
        return reply.count, *ancillary.received(reply.cmsgs, reply.control, ancbufsize), None

    def _receive_into(self, view: memoryview, budget: int, flags: int, control: int = 0) -> RecvReply:
        """`budget`: bytes that may be received without memory for them."""
        span = self._registry.span(view)
        if span is not None:
            return self._receive(span.length + budget, control, flags, span)
        reply = self._receive(len(view) + budget, control, flags, room=len(view))
        view[: len(reply.data)] = reply.data
        return reply

    def _receive(
        self, length: int, control: int, flags: int, into: Span | None = None, room: int | None = None
    ) -> RecvReply:
        """`room`: bytes of memory for ordinary data, `length` unless the rest is a budget."""
        room = length if room is None else room
        blocking = self._blocking
        started = blocking.runtime.monotonic() if room > INLINE_BYTES else math.inf
        tokens, self.returning = self.returning, b""
        request = RecvMsg(length, control, flags, into, blocking.wait_s(flags), room, 0, tokens)
        first, self.first = self.first, None
        if first is None:
            reply = blocking.call(request, RecvReply)
        else:
            reply = blocking.receive_after(first, request)
        if len(reply.data) == INLINE_BYTES < room and not reply.cmsgs and not flags & uapi.MSG_PEEK:
            return self._receive_more(request, reply.data, started)
        return reply

    def _receive_more(self, first: RecvMsg, data: bytes, started: float) -> RecvReply:
        """The rest of a call whose ordinary data fills more than one record."""
        blocking = self._blocking
        deadline = started + blocking.limit_s(first.timeout_s, uapi.SO_RCVTIMEO)
        parts, count = [data], len(data)
        while len(parts[-1]) == INLINE_BYTES and count < first.room:
            room, left_s = first.room - count, timeouts.left_s(deadline, blocking.runtime.monotonic())
            request = RecvMsg(first.length, first.control_bytes, first.flags, None, left_s, room, count)
            reply = blocking.calls.call(request, RecvReply)
            parts.append(reply.data)
            count += len(parts[-1])
        return RecvReply(count, b"".join(parts), b"", reply.control)

    def _read_errqueue(
        self, bufsize: int, ancbufsize: int
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        event, family = self._blocking.calls.call(ReadErrQueue(), Completion), self._family
        messages, flags = ancillary.completion(event, family, ancbufsize)
        if len(event.data) > bufsize:
            flags |= uapi.MSG_TRUNC
        name = None if event.name is None else of_end(event.name, family)
        return event.data[:bufsize], messages, flags, name


def _writable(buffer: Any, call: str) -> memoryview:
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError(f"{call}() needs a read-write bytes-like object, not {type(buffer).__name__}")
    return view


def _check_ancbufsize(size: int) -> None:
    if size < 0:
        raise ValueError(f"invalid ancillary data buffer length: {size}")


def _data(reply: RecvReply, flags: int) -> bytes:
    """What the buffer of recv holds: MSG_TRUNC counts bytes and copies none."""
    return bytes(reply.count) if flags & uapi.MSG_TRUNC else reply.data


def _scatter(data: bytes, views: Sequence[memoryview]) -> None:
    at = 0
    for view in views:
        part = data[at : at + len(view)]
        view[: len(part)] = part
        at += len(part)
