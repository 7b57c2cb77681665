"""System calls on a TCP socket: one class a call.

In: a socket, a request, the process that calls. Out: replies, OSError, BlockingIOError while a call would
block (system_call.SystemCall). A call owns what it has moved so far. The rules are the socket's (nodes/sock);
here requests become its methods' arguments, and results become replies.
Source: net/socket.c.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Final, Generic, TypeVar

from nodes.sock import sockopt
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import RecvCall, RecvRequest
from nodes.sock.sendmsg import SendCall, SendRequest
from nodes.sock.socket_state import SocketState
from nodes.sock.tcp_ioctl import tcp_ioctl
from nodes.syscall.sockaddr import address_of, name_of, names_of, port_of
from nodes.syscall.system_call import BLOCKED, Blocked, Caller
from nodes.syscall.user_memory import EMPTY
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls
from nodes.uapi.syscalls import Done

_LENGTH_MAX: Final = 1 << 30
_SSIZE_MAX: Final = (1 << 63) - 1
# As many fragments as fit into a record of the channel; the next call receives the others.
_CONTROL_MAX: Final = 2048 * uapi.cmsg_space(uapi.DMABUF_CMSG.size)
_R = TypeVar("_R", bound=syscalls.Request)


class RecvMsgCall:
    """Ordinary data goes to the request's span of registered memory, or inline into the reply."""

    __slots__ = ("_inline_max", "_recv", "_sock")

    def __init__(self, sock: DevmemSocket, request: syscalls.RecvMsg, caller: Caller) -> None:
        if request.tokens:
            with suppress(OSError):  # DontNeed is not told either
                sock.devmem_dontneed(request.tokens)
        length = min(request.length, _LENGTH_MAX)
        control_bytes = min(request.control_bytes, _CONTROL_MAX)
        before, room = request.before, request.room
        if control_bytes < 0 or room < 0 or before < 0 or length < before:
            raise OSError(errno.EINVAL, f"recvmsg of {length} bytes, {control_bytes} of control")
        if request.into is None:
            buffer, self._inline_max = EMPTY, min(length, min(room, syscalls.INLINE_BYTES))
        else:
            buffer, self._inline_max = caller.kernel.memory.view(request.into), -1
        self._sock = sock
        self._recv = RecvCall(sock, RecvRequest(length, control_bytes, request.flags, buffer, before))

    def attempt(self, now: float, wait: bool) -> syscalls.RecvReply | Blocked:
        recv, inline = self._recv, self._inline_max >= 0
        if wait and recv.must_wait(now):
            return BLOCKED
        if inline and not recv.buffer and self._sock.recv_queue.in_host_memory:
            recv.buffer = memoryview(bytearray(self._inline_max))
        got = recv.take(now, wait)
        data = bytes(recv.buffer[: got.copied]) if inline else b""
        return syscalls.RecvReply(got.count, data, got.cmsgs, got.control)


class SendMsgCall:
    """A span of registered memory, inline bytes, or ranges of a dma-buf bound for sending."""

    __slots__ = ("_send", "_sock")

    def __init__(self, sock: DevmemSocket, request: syscalls.SendMsg, caller: Caller) -> None:
        iov = request.iov
        if request.before < 0 or any(not 0 <= length <= _SSIZE_MAX for _, length in iov):
            raise OSError(errno.EINVAL, "sendmsg of a negative number of bytes")
        if len(iov) > uapi.UIO_MAXIOV:
            raise OSError(errno.EMSGSIZE, f"sendmsg of {len(iov)} ranges: give {uapi.UIO_MAXIOV} at most")
        kernel, span = caller.kernel, request.source
        data = memoryview(request.data) if span is None else kernel.memory.view(span)
        tsflags = request.tsflags
        if tsflags >= 0 and tsflags & ~uapi.SOF_TIMESTAMPING_TX_RECORD_MASK:
            raise OSError(errno.EINVAL, f"SO_TIMESTAMPING {tsflags:#x} in sendmsg: TX flags alone")
        parsed = SendRequest(
            request.flags, data, request.dmabuf_id, iov, request.before, request.more, tsflags
        )
        self._sock = sock
        self._send = SendCall(sock, parsed, kernel.host.netdev.tx_binding)

    def attempt(self, now: float, wait: bool) -> Done:
        return Done(self._send.attempt(now, wait), self._sock.errqueue.completed)


class AcceptCall:
    """The connection is the caller's until a channel attaches to its handle."""

    __slots__ = ("_caller", "_sock")

    def __init__(self, sock: DevmemSocket, _request: syscalls.Accept, caller: Caller) -> None:
        self._sock = sock
        self._caller = caller

    def attempt(self, _now: float, _wait: bool) -> syscalls.Accepted:
        child = self._sock.accept()
        handle = self._caller.kernel.files.accept(self._caller, child)
        return syscalls.Accepted(handle, name_of(child, child.remote))


class SetSockOptCall:
    """Some options need a privileged caller."""

    __slots__ = ("_privileged", "_request", "_sock")

    def __init__(self, sock: DevmemSocket, request: syscalls.SetSockOpt, caller: Caller) -> None:
        self._sock = sock
        self._request = request
        self._privileged = caller.privileged

    def attempt(self, _now: float, _wait: bool) -> Done:
        request = self._request
        return Done(
            sockopt.set_option(self._sock, request.level, request.option, request.value, self._privileged)
        )


class _SocketCall(Generic[_R]):
    """A call that needs nothing but its socket and its request."""

    __slots__ = ("_request", "_sock")

    def __init__(self, sock: DevmemSocket, request: _R, _caller: Caller) -> None:
        self._sock = sock
        self._request = request


class ConnectCall(_SocketCall[syscalls.Connect]):
    """The first attempt sends the SYN. A later one fails with EALREADY where an earlier call has sent it."""

    __slots__ = ("_files", "_would_block")

    def __init__(self, sock: DevmemSocket, request: syscalls.Connect, caller: Caller) -> None:
        super().__init__(sock, request, caller)
        self._files = caller.kernel.files
        self._would_block = 0  # errno while the connection is not established, 0 before the first attempt

    def attempt(self, now: float, _wait: bool) -> Done:
        sock, request = self._sock, self._request
        if not self._would_block:
            connecting = sock.socket_state is SocketState.CONNECTING
            sock.start_connect(address_of(sock, request.address), port_of(request.port), now)
            self._would_block = errno.EALREADY if connecting else errno.EINPROGRESS
        try:
            sock.connect_result(now, self._would_block)
        except BlockingIOError:
            raise
        except OSError:
            self._files.begin_anew(sock)  # it may connect again
            raise
        return Done()


class DisconnectCall:
    __slots__ = ("_files", "_sock")

    def __init__(self, sock: DevmemSocket, _request: syscalls.Disconnect, caller: Caller) -> None:
        self._sock = sock
        self._files = caller.kernel.files

    def attempt(self, now: float, _wait: bool) -> Done:
        self._sock.disconnect(now)
        self._files.begin_anew(self._sock)
        return Done()


class BindCall(_SocketCall[syscalls.Bind]):
    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> Done:
        sock, request = self._sock, self._request
        sock.bind(address_of(sock, request.address), port_of(request.port))
        return Done()


class ListenCall(_SocketCall[syscalls.Listen]):
    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> Done:
        self._sock.listen(self._request.backlog)
        return Done()


class ShutdownCall(_SocketCall[syscalls.Shutdown]):
    __slots__ = ()

    def attempt(self, now: float, _wait: bool) -> Done:
        self._sock.shutdown(self._request.how, now)
        return Done()


class GetNamesCall(_SocketCall[syscalls.GetNames]):
    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> syscalls.SocketNames:
        return names_of(self._sock)


class GetSockOptCall(_SocketCall[syscalls.GetSockOpt]):
    __slots__ = ()

    def attempt(self, now: float, _wait: bool) -> syscalls.Value:
        request = self._request
        return syscalls.Value(
            sockopt.get_option(self._sock, request.level, request.option, request.length, now)
        )


class IoctlCall(_SocketCall[syscalls.Ioctl]):
    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> Done:
        return Done(tcp_ioctl(self._sock, self._request.request))


class DontNeedCall(_SocketCall[syscalls.DontNeed]):
    """SO_DEVMEM_DONTNEED without a reply."""

    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> None:
        self._sock.devmem_dontneed(self._request.tokens)


class ReadErrQueueCall(_SocketCall[syscalls.ReadErrQueue]):
    """recvmsg with MSG_ERRQUEUE, which never blocks."""

    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> syscalls.Completion:
        sock = self._sock
        event = sock.read_errqueue()
        if event is None:
            raise BlockingIOError(errno.EAGAIN, "no completion waits")
        packed = uapi.EXTENDED_ERR.pack(*event.extended_err)
        control = sock.timestamping.control(event.at, event.data)
        if not event.is_icmp:
            return syscalls.Completion(packed, control, event.data)
        offender, _ = name_of(sock, (event.offender, 0))
        return syscalls.Completion(packed, control, event.data, name_of(sock, event.name), offender)


class WaitCompletionsCall(_SocketCall[syscalls.WaitCompletions]):
    """Blocks until so many zero-copy sends of the socket have completed; Linux has no such call."""

    __slots__ = ()

    def attempt(self, _now: float, _wait: bool) -> Done:
        completed, wanted = self._sock.errqueue.completed, self._request.count
        if completed < wanted:
            raise BlockingIOError(errno.EAGAIN, f"{completed} of {wanted} completed")
        return Done(completed)
