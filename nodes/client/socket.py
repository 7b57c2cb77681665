"""A TCP socket of a host's stack, with the methods, arguments and errors of Python's socket.socket.

Beyond it: `sendmsg` takes (offset, length) pairs of a bound dma-buf, `setsockopt` returns what the kernel
returns, `dup` gives a second thread a channel of its own, `wait_completions` blocks for zero-copy sends.
`fileno()` polls readable when the socket is; writability has no descriptor here: block, or retry.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6
from typing import Any

from nodes import uapi
from nodes.channel import (
    INLINE_BYTES,
    NO_MEMORY,
    Accept,
    Accepted,
    AttachSocket,
    Bind,
    Completion,
    Connect,
    Done,
    DontNeed,
    GetNames,
    GetSockOpt,
    Listen,
    OpenSocket,
    ReadErrQueue,
    RecvMsg,
    RecvReply,
    SendMsg,
    SetSockOpt,
    Shutdown,
    SocketNames,
    Span,
    Value,
    WaitCompletions,
    Watch,
)
from nodes.client.calls import Calls
from nodes.client.memory import MemoryRegistry

Address = Any  # (host, port), and for AF_INET6 also (host, port, flowinfo, scope_id), as Python has it
Ancillary = tuple[int, int, bytes]
_INT = struct.Struct("=i")
_CMSG_BYTES = uapi.DMABUF_CMSG.size
_DMABUF, _LINEAR = uapi.SCM_DEVMEM_DMABUF, uapi.SCM_DEVMEM_LINEAR
_ID, _NO_ID = slice(16, 20), bytes(4)  # dmabuf_cmsg.dmabuf_id; 0 marks SCM_DEVMEM_LINEAR


class Socket:
    """Use Host.socket(). Not for two threads at once: one may send on a `dup` while the other receives."""

    def __init__(self, calls: Calls, registry: MemoryRegistry, handle: int, family: int) -> None:
        self._calls = calls
        self._registry = registry
        self._handle = handle
        self.family = family
        self._timeout: float | None = None
        self._watched = False

    @classmethod
    def open(cls, path: str, registry: MemoryRegistry, family: int = AF_INET) -> Socket:
        calls = Calls(path)
        try:
            return cls(calls, registry, calls.call(OpenSocket(family), Done).value, family)
        except OSError:
            calls.close()
            raise

    @classmethod
    def _attach(cls, path: str, registry: MemoryRegistry, handle: int) -> Socket:
        calls = Calls(path)
        return cls(calls, registry, handle, calls.call(AttachSocket(handle), SocketNames).family)

    def dup(self) -> Socket:
        """The same socket through a channel of its own; it closes when both are closed."""
        return Socket._attach(self._calls.path, self._registry, self._handle)

    # --- names and connections

    def bind(self, address: Address) -> None:
        host, port = address[:2]
        self._calls.call(Bind(host, port), Done)

    def listen(self, backlog: int = 128) -> None:
        self._calls.call(Listen(backlog), Done)

    def accept(self) -> tuple[Socket, Address]:
        accepted = self._calls.call(Accept(self._timeout), Accepted)
        child = Socket._attach(self._calls.path, self._registry, accepted.handle)
        return child, self._name(accepted.remote)

    def connect(self, address: Address) -> None:
        """Raises ConnectionRefusedError, TimeoutError (the peer's silence), BlockingIOError and so on."""
        host, port = address[:2]
        self._calls.call(Connect(host, port, self._timeout), Done)

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
        self._calls.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- blocking

    def settimeout(self, timeout: float | None) -> None:
        """Seconds a call may block: None for ever, 0 not at all. A call that runs out raises
        BlockingIOError (EAGAIN), as SO_RCVTIMEO does."""
        self._timeout = timeout

    def setblocking(self, blocking: bool) -> None:
        self._timeout = None if blocking else 0.0

    def fileno(self) -> int:
        """A descriptor that polls readable while the socket can be read or accepted from."""
        if not self._watched:
            self._watched = True
            self._calls.call(Watch(), Done)
        return self._calls.fileno()

    def _wait_s(self, flags: int) -> float | None:
        return 0.0 if flags & uapi.MSG_DONTWAIT else self._timeout

    # --- receive

    def recv(self, size: int, flags: int = 0) -> bytes:
        reply = self._receive(min(size, INLINE_BYTES), 0, flags, None)
        return reply.data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Into registered memory (Host.memory) with one copy, into any other buffer inline."""
        view = memoryview(buffer).cast("B")
        return self._receive_into(view[:nbytes] if nbytes else view, 0, flags).count

    def recvmsg(
        self, size: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        """(data, ancdata, flags, address); what lies in device memory is in ancdata alone, the bytes of each
        SCM_DEVMEM_LINEAR are the next ones of data."""
        if flags & uapi.MSG_ERRQUEUE:
            return b"", [self._read_errqueue()], uapi.MSG_ERRQUEUE, None
        reply = self._receive(size, ancbufsize, flags, None)
        return reply.data, _ancillary(reply.cmsgs), 0, None

    def recvmsg_into(
        self, buffers: Sequence[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Ancillary], int, Address | None]:
        """(nbytes, ancdata, flags, address) with nbytes as the kernel counts, device memory included.
        An int in `buffers` is a budget of so many bytes without memory (iov_base NULL); what must be copied
        goes to the buffers in order, as if the budgets came last."""
        if flags & uapi.MSG_ERRQUEUE:
            return 0, [self._read_errqueue()], uapi.MSG_ERRQUEUE, None
        budget = sum(b for b in buffers if isinstance(b, int))
        views = [memoryview(b).cast("B") for b in buffers if not isinstance(b, int)]
        if not views:
            reply = self._receive(budget, ancbufsize, flags, NO_MEMORY)
        elif len(views) == 1:
            reply = self._receive_into(views[0], budget, flags, ancbufsize)
        else:
            room = sum(len(view) for view in views)
            reply = self._receive(min(room, INLINE_BYTES) + budget, ancbufsize, flags, None)
            _scatter(reply.data, views)
        return reply.count, _ancillary(reply.cmsgs), 0, None

    def _receive(self, size: int, control: int, flags: int, into: Span | None) -> RecvReply:
        return self._calls.call(RecvMsg(size, control, flags, into, self._wait_s(flags)), RecvReply)

    def _receive_into(self, view: memoryview, more: int, flags: int, control: int = 0) -> RecvReply:
        span = self._registry.span(view)
        if span is None:
            reply = self._receive(min(len(view), INLINE_BYTES) + more, control, flags, None)
            view[: len(reply.data)] = reply.data
            return reply
        return self._receive(span.length + more, control, flags, span)

    def _read_errqueue(self) -> Ancillary:
        completion = self._calls.call(ReadErrQueue(), Completion)
        return uapi.SOL_IP, uapi.IP_RECVERR, completion.extended_err

    def wait_completions(self, count: int) -> int:
        """Block until the first `count` zero-copy sends of this socket have completed; returns how many
        have. BlockingIOError when the timeout runs out."""
        return self._calls.call(WaitCompletions(count, self._timeout), Done).value

    # --- send

    def send(self, data: Any, flags: int = 0) -> int:
        """Blocks until all of `data` is queued, as a blocking socket does; else what fits."""
        view = memoryview(data).cast("B")
        span = self._registry.span(view)
        if span is not None or len(view) <= INLINE_BYTES:
            return self._send_one(view, span, flags)
        sent = 0
        while sent < len(view):
            part = view[sent : sent + INLINE_BYTES]
            try:
                count = self._send_one(part, None, flags)
            except BlockingIOError:
                if sent:
                    break
                raise
            sent += count
            if count < len(part):
                break
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]

    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Iterable[tuple[int, int, Any]] = (), flags: int = 0
    ) -> int:
        """Ordinary buffers; or, with (SOL_SOCKET, SCM_DEVMEM_DMABUF, u32 id) in `ancdata`, (offset,
        length) pairs of that dma-buf. Returns how many bytes were taken. Control messages of other levels
        are passed over, unknown ones of SOL_SOCKET are EINVAL."""
        buffers, dmabuf_id = [*buffers], _dmabuf_id(ancdata)
        if len(buffers) > uapi.UIO_MAXIOV:
            raise OSError(errno.EMSGSIZE, f"{len(buffers)} buffers, {uapi.UIO_MAXIOV} at most")
        if not any(isinstance(each, tuple | list) for each in buffers):
            if dmabuf_id:
                raise OSError(errno.EFAULT, "a dma-buf is sent from by (offset, length) pairs")
            return self.send(b"".join(buffers), flags)
        iov = tuple((offset, length) for offset, length in buffers)
        request = SendMsg(flags, b"", None, dmabuf_id, iov, self._wait_s(flags))
        return self._calls.call(request, Done).value

    def _send_one(self, view: memoryview, span: Span | None, flags: int) -> int:
        data = b"" if span is not None else bytes(view)
        request = SendMsg(flags, data, span, 0, (), self._wait_s(flags))
        return self._calls.call(request, Done).value

    # --- options

    def setsockopt(self, level: int, option: int, value: int | bytes) -> int:
        """Returns what the kernel does: 0, or for SO_DEVMEM_DONTNEED the number of fragments returned."""
        body = _INT.pack(value) if isinstance(value, int) else bytes(value)
        return self._calls.call(SetSockOpt(level, option, body), Done).value

    def dontneed(self, tokens: bytes) -> None:
        """SO_DEVMEM_DONTNEED without waiting for an answer: for receives in a pipeline."""
        self._calls.post(DontNeed(tokens))

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """An int, or bytes with `buflen`."""
        value = self._calls.call(GetSockOpt(level, option, buflen or _INT.size), Value).value
        return value[:buflen] if buflen else int(_INT.unpack_from(value)[0])


def _dmabuf_id(ancdata: Iterable[tuple[int, int, Any]]) -> int:
    """What the last SCM_DEVMEM_DMABUF says, 0 without one (__sock_cmsg_send, net/core/sock.c)."""
    dmabuf_id = 0
    for level, kind, body in ancdata:
        if level != uapi.SOL_SOCKET:
            continue
        if kind != uapi.SCM_DEVMEM_DMABUF:
            raise OSError(errno.EINVAL, f"control message {kind} of SOL_SOCKET is not known")
        if len(body) != uapi.TX_DMABUF_ID.size:
            raise OSError(errno.EINVAL, f"SCM_DEVMEM_DMABUF of {len(body)} bytes: give a u32")
        (dmabuf_id,) = uapi.TX_DMABUF_ID.unpack(body)
    return dmabuf_id


def _scatter(data: bytes, views: Sequence[memoryview]) -> None:
    at = 0
    for view in views:
        part = data[at : at + len(view)]
        view[: len(part)] = part
        at += len(part)


def _ancillary(cmsgs: bytes) -> list[Ancillary]:
    bodies = (cmsgs[at : at + _CMSG_BYTES] for at in range(0, len(cmsgs), _CMSG_BYTES))
    return [(uapi.SOL_SOCKET, _LINEAR if body[_ID] == _NO_ID else _DMABUF, body) for body in bodies]
