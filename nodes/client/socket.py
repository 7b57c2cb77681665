"""A TCP socket of a host's stack, with the methods, arguments and errors of Python's socket.socket.

In: calls of the application. Out: their results. Owns the socket's channels (socket_calls) and its poll file.
Beyond socket.socket: `sendmsg` takes (offset, length) pairs of a bound dma-buf, `setsockopt` returns what the
kernel returns, `wait_completions` blocks for zero-copy sends, `dontneed` returns tokens without an answer.
"""

from __future__ import annotations

import errno
import os
import socket as linux
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import AF_INET
from typing import Any, cast

from nodes.client import timeouts
from nodes.client.address import Address, Resolve, numeric, of_end
from nodes.client.ancillary import Ancillary
from nodes.client.blocking_calls import BlockingCalls
from nodes.client.fork import survives_fork
from nodes.client.memory import MemoryRegistry
from nodes.client.receive import Receiver
from nodes.client.runtime import Runtime
from nodes.client.send import Sender
from nodes.client.socket_calls import SocketCalls
from nodes.uapi.channel_closed import ChannelClosed
from nodes.uapi.socket import DMABUF_TOKEN, MAX_DONTNEED_TOKENS
from nodes.uapi.syscalls import (
    Accept,
    Bind,
    Connect,
    Disconnect,
    Done,
    DontNeed,
    GetNames,
    GetSockOpt,
    Ioctl,
    Listen,
    SetSockOpt,
    Shutdown,
    SocketNames,
    Value,
    WaitCompletions,
    Watch,
)

_INT = struct.Struct("=i")
_LINGER = struct.Struct("=ii")  # struct linger: l_onoff, l_linger
_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_OPTION_MAX = 1024
_NO_DETACH = (
    "a socket of a host is not a file descriptor, so it cannot be detached from one; for TLS, set "
    "context.sslsocket_class = nodes.client.tls.TlsSocket before context.wrap_socket(sock)"
)


@dataclass(slots=True)
class Lingering:
    """Whether SO_LINGER makes the close of a socket wait, for all objects that dup made of it."""

    on: bool = False


# More than 25 methods: socket.socket has 28 that applications know, and each is here. What they do is in the
# parts that the socket is composed of: Receiver, Sender, BlockingCalls, SocketCalls.
class Socket:
    """Use Host.socket(). Threads may share it, and a forked child has it as well. It is reached by channels
    to its endpoint and not by a descriptor, so it cannot be detached from one, nor made of one."""

    def __init__(
        self, calls: SocketCalls, registry: MemoryRegistry, resolve: Resolve, family: int = AF_INET,
        proto: int = 0, lingering: Lingering | None = None,
    ) -> None:  # fmt: skip
        self.family = linux.AddressFamily(family)
        self.type = linux.SOCK_STREAM
        self.proto = proto
        self._calls = calls
        self._registry = registry
        self._resolve = resolve
        self._blocking = BlockingCalls(calls)
        self._receiver = Receiver(self._blocking, registry, family)
        self._sender = Sender(self._blocking, registry)
        self._poll_file: linux.socket | None = None
        self._opening_poll_file = calls.runtime.lock()
        self._lingering = lingering or Lingering()
        self._io_refs = 0  # by this and `_closed` socket.SocketIO keeps a socket open
        self._closed = False
        survives_fork(self)

    def renew(self) -> None:
        """In a forked child: the socket attaches by a channel of its own when it is used. It closes when
        parent and child have closed it."""
        self._opening_poll_file = self._calls.runtime.lock()
        self._calls.renew()

    @property
    def runtime(self) -> Runtime:
        """Where its calls wait."""
        return self._calls.runtime

    def dup(self) -> Socket:
        """The same socket, with a timeout of its own; it closes when both are closed."""
        calls = self._calls.dup()
        return Socket(calls, self._registry, self._resolve, self.family, self.proto, self._lingering)

    # --- names and connections

    def bind(self, address: Address) -> None:
        self._calls.call(Bind(*numeric(address, self.family, "bind", self._resolve)), Done)

    def listen(self, backlog: int = 128) -> None:
        self._calls.call(Listen(backlog), Done)

    def accept(self) -> tuple[Socket, Address]:
        timeout_s = self._blocking.timeout_s
        with timeouts.timed(timeout_s):
            accepted, calls = self._calls.accept(Accept(timeout_s))
        lingering = Lingering(self._lingering.on)
        sock = Socket(calls, self._registry, self._resolve, self.family, self.proto, lingering)
        return sock, of_end(accepted.remote, self.family)

    def connect(self, address: Address) -> None:
        """Raises ConnectionRefusedError, TimeoutError (also when the peer does not answer), BlockingIOError
        and so on. After the attempt has failed, an epoll has to be told of `fileno()` again."""
        host, port = numeric(address, self.family, "connect", self._resolve)
        try:
            self._blocking.call(Connect(host, port, self._blocking.timeout_s), Done)
        except (BlockingIOError, ChannelClosed):
            raise
        except OSError:
            self._watch_anew()
            raise

    def connect_ex(self, address: Address) -> int:
        """The errno that connect would raise, 0 without one; EAGAIN when the timeout runs out."""
        try:
            self.connect(address)
        except linux.gaierror:
            raise
        except OSError as refused:
            return refused.errno or errno.EAGAIN
        return 0

    def disconnect(self) -> None:
        """connect(2) with AF_UNSPEC, for which socket.socket has no words: the connection is reset, a
        listener stops, and the socket may connect or listen again. `fileno()` stays; an epoll has to be
        told of it again."""
        self._calls.call(Disconnect(), Done)
        self._watch_anew()

    def _watch_anew(self) -> None:
        """A connection is over, and the socket may connect again: where the poll file shows a hang-up, the
        endpoint has opened another."""
        with self._opening_poll_file:
            if self._poll_file is not None:
                _, (fd,) = self._calls.call_for_fds(Watch(), Done)
                os.dup2(fd, self._poll_file.fileno(), inheritable=False)
                os.close(fd)

    def getsockname(self) -> Address:
        return of_end(self._calls.call(GetNames(), SocketNames).local, self.family)

    def getpeername(self) -> Address:
        remote = self._calls.call(GetNames(), SocketNames).remote
        if not remote[1]:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return of_end(remote, self.family)

    def shutdown(self, how: int) -> None:
        self._calls.call(Shutdown(how), Done)

    def close(self) -> None:
        """A call that another thread is blocked in goes on; files of makefile keep the socket open. With
        SO_LINGER it waits as Linux's close does."""
        self._closed = True
        if self._io_refs <= 0:
            if self._lingering.on and not self._calls.closed:
                self._calls.linger()
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
        """As socket.socket's: all that it uses of a socket is here too."""
        make = cast(Any, linux.socket.makefile)
        return make(self, mode, buffering, encoding=encoding, errors=errors, newline=newline)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- blocking

    def settimeout(self, timeout: float | None) -> None:
        """Seconds a call may block: None for ever, 0 not at all (BlockingIOError). A call that times out
        raises TimeoutError; a call that has moved some bytes returns their count, as with SO_RCVTIMEO and
        SO_SNDTIMEO. Unlike Python's, a timeout makes no socket non-blocking: MSG_WAITALL and send wait."""
        timeouts.check(timeout)
        self._blocking.timeout_s = timeout

    def gettimeout(self) -> float | None:
        return self._blocking.timeout_s

    @property
    def timeout(self) -> float | None:
        return self._blocking.timeout_s

    def setblocking(self, blocking: bool) -> None:
        self._blocking.timeout_s = None if blocking else 0.0

    def getblocking(self) -> bool:
        return self._blocking.timeout_s != 0.0

    def fileno(self) -> int:
        """A descriptor for poll, select and epoll, -1 when closed. It polls as the kernel's socket would,
        POLLERR for a completion and POLLHUP included; nothing can be read from it or written to it."""
        with self._opening_poll_file:
            if self._poll_file is None and not self._calls.closed:
                _, (fd,) = self._calls.call_for_fds(Watch(), Done)
                self._poll_file = linux.socket(fileno=fd)
                if self._calls.closed:  # meanwhile, by another thread, whose close may have seen no file
                    self._poll_file.close()
        return -1 if self._poll_file is None else self._poll_file.fileno()

    def get_inheritable(self) -> bool:
        """Of the descriptor for polling, as of any that Python opens."""
        return os.get_inheritable(self.fileno())

    def set_inheritable(self, inheritable: bool) -> None:
        os.set_inheritable(self.fileno(), inheritable)

    def detach(self) -> int:
        """Refused with EOPNOTSUPP: a descriptor is not the socket. A caller of detach has taken over the
        descriptor that `fileno` gave (ssl.SSLSocket has, and closes it when this fails), so it is the
        caller's from now on, and `fileno` opens another."""
        with self._opening_poll_file:
            if self._poll_file is not None:
                self._poll_file.detach()
                self._poll_file = None
        raise OSError(errno.EOPNOTSUPP, _NO_DETACH)

    # --- receive

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return self._receiver.recv(bufsize, flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, None]:
        return self._receiver.recv(bufsize, flags), None

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Into registered memory (Host.memory) with one copy, into any other buffer inline."""
        return self._receiver.recv_into(buffer, nbytes, flags)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, None]:
        return self._receiver.recv_into(buffer, nbytes, flags), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[Ancillary], int, Address | None]:
        """(data, ancdata, flags, address). Bytes in device memory are in ancdata alone; the bytes of each
        SCM_DEVMEM_LINEAR are the next ones of data. MSG_ERRQUEUE reads one event of the error queue: a range
        of completions, a stamp, or an ICMP error, with what it quotes as data and where that went as
        address."""
        return self._receiver.recvmsg(bufsize, ancbufsize, flags)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Ancillary], int, Address | None]:
        """(nbytes, ancdata, flags, address) with nbytes as the kernel counts, device memory included.
        An int in `buffers` is a budget of so many bytes without memory (iov_base NULL); what must be copied
        goes to the buffers in order, as if the budgets came last."""
        return self._receiver.recvmsg_into(buffers, ancbufsize, flags)

    def wait_completions(self, count: int) -> int:
        """Block until the first `count` zero-copy sends of this socket have completed; returns how many
        have. TimeoutError when the timeout runs out."""
        return self._blocking.call(WaitCompletions(count, self._blocking.timeout_s), Done).value

    @property
    def completed(self) -> int:
        """How many zero-copy sends of this socket had completed when sendmsg last took bytes of a dma-buf. It
        is known without a call."""
        return self._sender.completed

    # --- send

    def send(self, data: Any, flags: int = 0) -> int:
        """Blocks until all of `data` is queued, as a blocking socket does; else queues what fits. One call is
        one zero-copy send, however long."""
        return self._sender.send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """TimeoutError when not all is queued within the timeout."""
        self._sender.sendall(data, flags)

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """As send: TCP ignores the address (MSG_FASTOPEN is not implemented)."""
        if len(flags_and_address) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(flags_and_address)} given)")
        return self._sender.send(data, flags_and_address[0] if len(flags_and_address) > 1 else 0)

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0,
        address: Address | None = None,  # noqa: ARG002  TCP ignores it
    ) -> int:
        """Ordinary buffers; or, with (SOL_SOCKET, SCM_DEVMEM_DMABUF, u32 id) in `ancdata`, (offset,
        length) pairs of that dma-buf. Returns how many bytes were taken. Control messages of other levels are
        ignored, unknown ones of SOL_SOCKET are EINVAL."""
        return self._sender.sendmsg(buffers, ancdata, flags)

    def sendmsg_before(
        self, receiver: Socket, ranges: Iterable[Any], ancdata: Iterable[tuple[int, int, Any]], flags: int,
        told: Callable[[int | OSError], None],
    ) -> None:  # fmt: skip
        """A sendmsg of a dma-buf that does not wait, made with the next receive of `receiver`, which is about
        to be called: both are one system call, as two linked entries of io_uring are. In that receive `told`
        hears how many bytes were taken, or the error. The receive is as it always is. EBUSY: another send
        waits for it."""
        if receiver._receiver.first is not None:
            raise OSError(errno.EBUSY, "another send goes with that socket's next receive")
        receiver._receiver.first = self._sender.linked(ranges, ancdata, flags, told)

    # --- options

    def setsockopt(self, level: int, option: int, value: int | bytes) -> int:
        """Returns what the kernel does: 0, or for SO_DEVMEM_DONTNEED the number of fragments returned."""
        if isinstance(value, int):
            if not _INT_MIN <= value <= _INT_MAX:
                raise OverflowError(f"socket option of {value}: an int of 32 bits, or bytes")
            value = _INT.pack(value)
        done = self._calls.call(SetSockOpt(level, option, bytes(value)), Done).value
        if (level, option) == (linux.SOL_SOCKET, linux.SO_LINGER):
            self._lingering.on = all(_LINGER.unpack_from(value))  # on, and for how many seconds
        return done

    def dontneed(self, tokens: bytes, with_next: bool = False) -> None:
        """SO_DEVMEM_DONTNEED without waiting for an answer: for receives in a pipeline. `with_next`: they go
        with the next receive of this object, which is about to be made; without one, when the socket closes.
        An exception of a signal handler in that receive may keep them until then. Raises OSError EINVAL, as
        the option does, which nobody would hear of later: for no whole tokens, and for more than 128."""
        returning = self._receiver.returning + tokens if with_next else tokens
        if len(returning) % DMABUF_TOKEN.size or len(returning) > MAX_DONTNEED_TOKENS * DMABUF_TOKEN.size:
            size, most = DMABUF_TOKEN.size, MAX_DONTNEED_TOKENS
            text = f"{len(returning)} bytes of tokens: give back at most {most} of {size} bytes at once"
            raise OSError(errno.EINVAL, text)
        if with_next:
            self._receiver.returning = returning
        elif returning:
            self._calls.post(DontNeed(returning))

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """An int, or bytes with `buflen`."""
        if not 0 <= buflen <= _OPTION_MAX:
            raise OSError(errno.EINVAL, f"getsockopt buflen out of range: {buflen}, 0 to {_OPTION_MAX}")
        value = self._calls.call(GetSockOpt(level, option, buflen or _INT.size), Value).value
        return value[:buflen] if buflen else int(_INT.unpack(value[:4].ljust(4, b"\0"))[0])

    def ioctl(self, request: int) -> int:
        """SIOCINQ, SIOCOUTQ or SIOCOUTQNSD: how many bytes. Raises OSError: EINVAL for a listener, ENOTTY for
        another request."""
        return self._calls.call(Ioctl(request), Done).value
