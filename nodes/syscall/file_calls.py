"""System calls that open sockets: socket, dup, and the descriptor for poll.

In: a request and the channel it came by. Out: handles of open sockets, a poll file's descriptor. Owns
nothing: the file table does.
"""

from __future__ import annotations

import errno
import socket

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.tcp_poll import is_closing
from nodes.syscall.sockaddr import names_of
from nodes.syscall.system_call import Caller
from nodes.uapi import syscalls
from nodes.uapi.syscalls import Done


class OpenSocketCall:
    """The channel becomes the new socket's. EAFNOSUPPORT, EISCONN."""

    __slots__ = ("_caller", "_family")

    def __init__(self, request: syscalls.OpenSocket, caller: Caller) -> None:
        if request.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, f"address family {request.family}: AF_INET or AF_INET6")
        self._caller = caller
        self._family = request.family

    def attempt(self, _now: float, _wait: bool) -> Done:
        kernel = self._caller.kernel
        sock = DevmemSocket(kernel.host.stack, self._family)
        return Done(kernel.files.install(self._caller, sock))


class AttachSocketCall:
    """The channel serves an open socket as well: after accept, for dup, for a call beside a blocked one."""

    __slots__ = ("_caller", "_handle")

    def __init__(self, request: syscalls.AttachSocket, caller: Caller) -> None:
        self._caller = caller
        self._handle = request.handle

    def attempt(self, _now: float, _wait: bool) -> syscalls.SocketNames:
        return names_of(self._caller.kernel.files.attach(self._caller, self._handle))


class CloseCall:
    """The last close of a socket that lingers: it waits while the stream is
    closing (sk_stream_wait_close in net/core/stream.c)."""

    __slots__ = ("_caller", "_sock")

    def __init__(self, sock: DevmemSocket, _request: syscalls.Close, caller: Caller) -> None:
        self._sock = sock
        self._caller = caller

    def attempt(self, now: float, _wait: bool) -> Done:
        sock = self._sock
        if not sock.closed:
            file = self._caller.kernel.files.file_of(sock)
            if not (sock.options.linger and file is not None and len(file.holders) == 1):
                return Done()
            sock.close(now)
        if is_closing(sock):
            raise BlockingIOError(errno.EAGAIN, "the peer has not acknowledged everything")
        return Done()


class WatchCall:
    """The reply brings the socket's poll file, made now if no process has polled it before."""

    __slots__ = ("_caller", "_sock")

    def __init__(self, sock: DevmemSocket, _request: syscalls.Watch, caller: Caller) -> None:
        self._sock = sock
        self._caller = caller

    def attempt(self, _now: float, _wait: bool) -> None:
        poll_file = self._caller.kernel.files.watch(self._sock)
        self._caller.send_with(Done(), (poll_file.fd,))
