"""A TCP socket of a host's stack, with the methods, arguments and errors of Python's socket.socket.

Beyond it: `sendmsg` takes (offset, length) pairs of a bound dma-buf, `setsockopt` returns what the kernel
returns, `wait_completions` blocks for zero-copy sends, `dontneed` returns tokens without an answer.
"""

from __future__ import annotations

import errno
import math
import socket as linux
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6
from typing import Any, TypeVar, cast

from nodes.client import ancillary, timeouts
from nodes.client.address import Address, numeric
from nodes.client.ancillary import Ancillary
from nodes.client.memory import MemoryRegistry
from nodes.client.socket_calls import SocketCalls
from nodes.uapi import socket as uapi
from nodes.uapi.syscalls import (
    INLINE_BYTES,
    NO_MEMORY,
    Accept,
    Bind,
    Completion,
    Connect,
    Done,
    DontNeed,
    GetNames,
    GetSockOpt,
    Listen,
    ReadErrQueue,
    RecvMsg,
    RecvReply,
    Reply,
    SendMsg,
    SetSockOpt,
    Shutdown,
    SocketNames,
    Span,
    Value,
    WaitCompletions,
    Watch,
)

_INT, _TIMEVAL = struct.Struct("=i"), struct.Struct("=qq")
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_OPTION_MAX = 1024
_R = TypeVar("_R", bound=Reply)
_Waiting = Connect | RecvMsg | SendMsg | WaitCompletions


class Socket:
    """Use Host.socket(). Threads may share it. `detach` and inheritance by fork are not there: a socket is
    reached by channels to its endpoint, not by a descriptor."""

    def __init__(self, calls: SocketCalls, registry: MemoryRegistry, family: int = AF_INET) -> None:
        self._calls = calls
        self._registry = registry
        self.family = family
        self.type = linux.SOCK_STREAM
        self.proto = 0
        self._timeout: float | None = None
        self._poll_file: linux.socket | None = None
        self._poll_turn = threading.Lock()
        self._io_refs = 0  # this and `_closed` are socket.SocketIO's way to keep a socket open
        self._closed = False

    def dup(self) -> Socket:
        """The same socket, with a timeout of its own; it closes when both are closed."""
        return Socket(SocketCalls.attach(self._calls.path, self._calls.handle), self._registry, self.family)

    def _wait(self, request: _Waiting, kind: type[_R]) -> _R:
        """A call that may block."""
        try:
            return self._calls.call(request, kind)
        except BlockingIOError:
            if request.timeout_s:
                raise TimeoutError("timed out") from None
            raise

    # --- names and connections

    def bind(self, address: Address) -> None:
        self._calls.call(Bind(*numeric(address, self.family, "bind")), Done)

    def listen(self, backlog: int = 128) -> None:
        self._calls.call(Listen(backlog), Done)

    def accept(self) -> tuple[Socket, Address]:
        with timeouts.timed(self._timeout):
            accepted, calls = self._calls.accept(Accept(self._timeout))
        return Socket(calls, self._registry, self.family), self._name(accepted.remote)

    def connect(self, address: Address) -> None:
        """Raises ConnectionRefusedError, TimeoutError (the peer's silence), BlockingIOError and so on."""
        self._wait(Connect(*numeric(address, self.family, "connect"), self._timeout), Done)

    def connect_ex(self, address: Address) -> int:
        """The errno that connect would raise, 0 without one; EAGAIN when the timeout runs out."""
        try:
            self.connect(address)
        except linux.gaierror:
            raise
        except OSError as refused:
            return refused.errno or errno.EAGAIN
        return 0

    def getsockname(self) -> Address:
        return self._name(self._calls.call(GetNames(), SocketNames).local)

    def getpeername(self) -> Address:
        remote = self._calls.call(GetNames(), SocketNames).remote
        if not remote[1]:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self._name(remote)

    def _name(self, name: tuple[str, int]) -> Address:
        return (*name, 0, 0) if self.family == AF_INET6 else name

    def shutdown(self, how: int) -> None:
        self._calls.call(Shutdown(how), Done)

    def close(self) -> None:
        """A call that another thread is blocked in goes on; files of makefile keep the socket open."""
        self._closed = True
        if self._io_refs <= 0:
            self._calls.close()
            if self._poll_file is not None:
                self._poll_file.close()

    def _decref_socketios(self) -> None:
        """socket.SocketIO calls this when it closes."""
        self._io_refs -= 1
        if self._closed:
            self.close()

    def makefile(
        self, mode: str = "r", buffering: int | None = None, *, encoding: str | None = None,
        errors: str | None = None, newline: str | None = None,
    ) -> Any:  # fmt: skip
        """As socket.socket's, which needs of a socket no more than this one has."""
        make = cast(Any, linux.socket.makefile)
        return make(self, mode, buffering, encoding=encoding, errors=errors, newline=newline)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- blocking

    def settimeout(self, timeout: float | None) -> None:
        """Seconds a call may block: None for ever, 0 not at all (BlockingIOError). A call that runs out
        raises TimeoutError; of a call that has moved bytes it returns the count, as with SO_RCVTIMEO and
        SO_SNDTIMEO. Unlike Python's, a timeout makes no socket non-blocking: MSG_WAITALL and send wait."""
        timeouts.check(timeout)
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def setblocking(self, blocking: bool) -> None:
        self._timeout = None if blocking else 0.0

    def getblocking(self) -> bool:
        return self._timeout != 0.0

    def fileno(self) -> int:
        """A descriptor for poll, select and epoll, -1 when closed. It polls as the kernel's socket would,
        POLLERR for a completion and POLLHUP included; nothing can be read from it or written to it."""
        with self._poll_turn:
            if self._poll_file is None and not self._calls.closed:
                _, (fd,) = self._calls.call_for_fds(Watch(), Done)
                self._poll_file = linux.socket(fileno=fd)
                if self._calls.closed:  # meanwhile, by another thread, which may have seen no file
                    self._poll_file.close()
        return -1 if self._poll_file is None else self._poll_file.fileno()

    def _wait_s(self, flags: int) -> float | None:
        return 0.0 if flags & uapi.MSG_DONTWAIT else self._timeout

    def _limit_s(self, wait_s: float | None, option: int) -> float:
        """What bounds a call of several requests as a whole; the endpoint knows of one at a time. `option`
        holds where the timeout is none, and may be another's setting: a dup's, or the listener's."""
        if wait_s is not None:
            return wait_s
        value = self._calls.call(GetSockOpt(uapi.SOL_SOCKET, option, _TIMEVAL.size), Value).value
        seconds, micros = _TIMEVAL.unpack(value)
        return seconds + micros / 1_000_000 or math.inf

    # --- receive

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if bufsize < 0:
            raise ValueError(f"negative buffersize in recv: {bufsize}")
        if bufsize == 0:
            return b""
        return _data(self._receive(bufsize, 0, flags), flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, None]:
        return self.recv(bufsize, flags), None

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Into registered memory (Host.memory) with one copy, into any other buffer inline."""
        view = _writable(buffer, "recv_into")
        if nbytes < 0:
            raise ValueError(f"negative buffersize in recv_into: {nbytes}")
        if nbytes > len(view):
            raise ValueError(f"buffer of {len(view)} bytes too small for requested bytes: {nbytes}")
        view = view[:nbytes] if nbytes else view
        return self._receive_into(view, 0, flags).count if view else 0

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, None]:
        return self.recv_into(buffer, nbytes, flags), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        """(data, ancdata, flags, address); what lies in device memory is in ancdata alone, the bytes of each
        SCM_DEVMEM_LINEAR are the next ones of data. MSG_ERRQUEUE reads a range of completions."""
        if bufsize < 0:
            raise ValueError(f"negative buffer size in recvmsg(): {bufsize}")
        _check_ancbufsize(ancbufsize)
        if flags & uapi.MSG_ERRQUEUE:
            return b"", *self._read_errqueue(ancbufsize), None
        reply = self._receive(bufsize, ancbufsize, flags)
        return _data(reply, flags), ancillary.fragments(reply.cmsgs), 0, None

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Ancillary], int, Address | None]:
        """(nbytes, ancdata, flags, address) with nbytes as the kernel counts, device memory included.
        An int in `buffers` is a budget of so many bytes without memory (iov_base NULL); what must be copied
        goes to the buffers in order, as if the budgets came last."""
        buffers = [*buffers]
        budget = sum(b for b in buffers if isinstance(b, int))
        views = [_writable(b, "recvmsg_into") for b in buffers if not isinstance(b, int)]
        _check_ancbufsize(ancbufsize)
        if flags & uapi.MSG_ERRQUEUE:
            return 0, *self._read_errqueue(ancbufsize), None
        if not views:
            reply = self._receive(budget, ancbufsize, flags, NO_MEMORY)
        elif len(views) == 1:
            reply = self._receive_into(views[0], budget, flags, ancbufsize)
        else:
            room = sum(len(view) for view in views)
            reply = self._receive(room + budget, ancbufsize, flags, room=room)
            _scatter(reply.data, views)
        return reply.count, ancillary.fragments(reply.cmsgs), 0, None

    def _receive_into(self, view: memoryview, more: int, flags: int, control: int = 0) -> RecvReply:
        span = self._registry.span(view)
        if span is not None:
            return self._receive(span.length + more, control, flags, span)
        reply = self._receive(len(view) + more, control, flags, room=len(view))
        view[: len(reply.data)] = reply.data
        return reply

    def _receive(
        self, length: int, control: int, flags: int, into: Span | None = None, room: int | None = None
    ) -> RecvReply:
        """`room`: bytes of memory for ordinary data, `length` unless the rest is a budget."""
        room = length if room is None else room
        wait_s = self._wait_s(flags)
        started = time.monotonic() if room > INLINE_BYTES else math.inf
        request = RecvMsg(length, control, flags, into, wait_s, room)
        reply = self._wait(request, RecvReply)
        if len(reply.data) == INLINE_BYTES < room and not reply.cmsgs and not flags & uapi.MSG_PEEK:
            return self._receive_more(request, reply.data, started)
        return reply

    def _receive_more(self, first: RecvMsg, data: bytes, started: float) -> RecvReply:
        """The rest of a call whose ordinary data fills more than one record."""
        deadline = started + self._limit_s(first.timeout_s, uapi.SO_RCVTIMEO)
        parts, count = [data], len(data)
        while len(parts[-1]) == INLINE_BYTES and count < first.room:
            room, left_s = first.room - count, timeouts.left_s(deadline)
            request = RecvMsg(first.length, first.control_bytes, first.flags, None, left_s, room, count)
            parts.append(self._calls.call(request, RecvReply).data)
            count += len(parts[-1])
        return RecvReply(count, b"".join(parts), b"")

    def _read_errqueue(self, ancbufsize: int) -> tuple[list[Ancillary], int]:
        extended_err = self._calls.call(ReadErrQueue(), Completion).extended_err
        return ancillary.completion(extended_err, self.family, ancbufsize)

    def wait_completions(self, count: int) -> int:
        """Block until the first `count` zero-copy sends of this socket have completed; returns how many
        have. TimeoutError when the timeout runs out."""
        return self._wait(WaitCompletions(count, self._timeout), Done).value

    # --- send

    def send(self, data: Any, flags: int = 0) -> int:
        """Blocks until all of `data` is queued, as a blocking socket does; else what fits. One call is one
        zero-copy send, however long."""
        return self._send(memoryview(data).cast("B"), flags, self._wait_s(flags))

    def _send(self, view: memoryview, flags: int, wait_s: float | None) -> int:
        span = self._registry.span(view)
        if span is not None:
            return self._wait(SendMsg(flags, b"", span, 0, (), wait_s), Done).value
        sent, deadline = 0, math.inf
        if len(view) > INLINE_BYTES:
            deadline = time.monotonic() + self._limit_s(wait_s, uapi.SO_SNDTIMEO)
        while True:
            part = bytes(view[sent : sent + INLINE_BYTES])
            more = sent + len(part) < len(view)
            count = self._wait(SendMsg(flags, part, None, 0, (), wait_s, sent, more), Done).value
            sent += count
            if not more or count < len(part):
                return sent
            wait_s = timeouts.left_s(deadline)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """TimeoutError when not all is queued within the timeout."""
        view, wait_s = memoryview(data).cast("B"), self._wait_s(flags)
        deadline = timeouts.deadline(wait_s)
        with timeouts.timed(wait_s):
            while view:
                view = view[self._send(view, flags, timeouts.left_s(deadline)) :]

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """As send: TCP passes an address over (MSG_FASTOPEN is not there)."""
        return self.send(data, flags_and_address[0] if len(flags_and_address) > 1 else 0)

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0,
        address: Address | None = None,  # noqa: ARG002
    ) -> int:
        """Ordinary buffers; or, with (SOL_SOCKET, SCM_DEVMEM_DMABUF, u32 id) in `ancdata`, (offset,
        length) pairs of that dma-buf. Returns how many bytes were taken. Control messages of other levels
        are passed over, unknown ones of SOL_SOCKET are EINVAL; so is `address`, as TCP does."""
        buffers, dmabuf_id = [*buffers], ancillary.dmabuf_id(ancdata)
        if len(buffers) > uapi.UIO_MAXIOV:
            raise OSError(errno.EMSGSIZE, f"{len(buffers)} buffers, {uapi.UIO_MAXIOV} at most")
        if not dmabuf_id and not any(isinstance(each, tuple | list) for each in buffers):
            return self.send(b"".join(buffers), flags)
        iov = tuple(map(ancillary.dmabuf_range, buffers))
        return self._wait(SendMsg(flags, b"", None, dmabuf_id, iov, self._wait_s(flags)), Done).value

    # --- options

    def setsockopt(self, level: int, option: int, value: int | bytes) -> int:
        """Returns what the kernel does: 0, or for SO_DEVMEM_DONTNEED the number of fragments returned."""
        if isinstance(value, int):
            if not _INT_MIN <= value <= _INT_MAX:
                raise OverflowError(f"socket option of {value}: an int of 32 bits, or bytes")
            value = _INT.pack(value)
        return self._calls.call(SetSockOpt(level, option, bytes(value)), Done).value

    def dontneed(self, tokens: bytes) -> None:
        """SO_DEVMEM_DONTNEED without waiting for an answer: for receives in a pipeline."""
        self._calls.post(DontNeed(tokens))

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """An int, or bytes with `buflen`."""
        if not 0 <= buflen <= _OPTION_MAX:
            raise OSError(errno.EINVAL, f"getsockopt buflen out of range: {buflen}, 0 to {_OPTION_MAX}")
        value = self._calls.call(GetSockOpt(level, option, buflen or _INT.size), Value).value
        return value[:buflen] if buflen else int(_INT.unpack(value[:4].ljust(4, b"\0"))[0])


def _writable(buffer: Any, call: str) -> memoryview:
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError(f"{call}() needs a read-write bytes-like object, not {type(buffer).__name__}")
    return view


def _check_ancbufsize(size: int) -> None:
    if size < 0:
        raise ValueError(f"invalid ancillary data buffer length: {size}")


def _data(reply: RecvReply, flags: int) -> bytes:
    """What a buffer of recv holds: MSG_TRUNC counts bytes and copies none."""
    return bytes(reply.count) if flags & uapi.MSG_TRUNC else reply.data


def _scatter(data: bytes, views: Sequence[memoryview]) -> None:
    at = 0
    for view in views:
        part = data[at : at + len(view)]
        view[: len(part)] = part
        at += len(part)
