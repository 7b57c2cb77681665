"""System calls of a socket's channel.

In: a socket and a request. Out: an attempt that answers it, BlockingIOError while it would block. The rules
are the socket's (sock/); here requests become calls and results replies.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable

from nodes.control.netdev import Netdev
from nodes.endpoint.session import Attempt, Session, refusing
from nodes.endpoint.user_memory import EMPTY, UserMemory
from nodes.sock import sockopt
from nodes.sock.devmem_socket import DevmemSocket, SocketState
from nodes.sock.recvmsg import RecvCall, RecvRequest
from nodes.sock.sendmsg import SendCall, SendRequest
from nodes.uapi import socket as uapi
from nodes.uapi import syscalls
from nodes.wire import ip

_SSIZE_MAX = (1 << 63) - 1
# As many fragments as a record of the channel holds; the others come with the next call.
_CONTROL_MAX = 2048 * uapi.cmsg_space(uapi.DMABUF_CMSG.size)


class SocketCalls:
    """`calls`: by the request's type, what makes its attempt from (socket, request, session).
    `accepted(socket, session)` gives a connection, now that session's, its number."""

    def __init__(
        self, netdev: Netdev, memory: UserMemory, accepted: Callable[[DevmemSocket, Session], int]
    ) -> None:
        self._netdev = netdev
        self._memory = memory
        self._accepted = accepted
        self.calls: dict[type, Callable[..., Attempt]] = {
            syscalls.RecvMsg: self._recvmsg,
            syscalls.SendMsg: self._sendmsg,
            syscalls.DontNeed: self._dontneed,
            syscalls.GetNames: self._get_names,
            syscalls.Bind: self._bind,
            syscalls.Listen: self._listen,
            syscalls.Connect: self._connect,
            syscalls.Accept: self._accept,
            syscalls.Shutdown: self._shutdown,
            syscalls.ReadErrQueue: self._read_errqueue,
            syscalls.WaitCompletions: self._wait_completions,
            syscalls.SetSockOpt: self._setsockopt,
            syscalls.GetSockOpt: self._getsockopt,
        }

    def _accept(self, sock: DevmemSocket, _: syscalls.Accept, session: Session) -> Attempt:
        def accept(_: float) -> syscalls.Accepted:
            child = sock.accept()
            return syscalls.Accepted(self._accepted(child, session), _name(child, child.remote))

        return accept

    def _recvmsg(self, sock: DevmemSocket, request: syscalls.RecvMsg, _: Session) -> Attempt:
        length = min(request.length, 1 << 30)
        control_bytes = min(request.control_bytes, _CONTROL_MAX)
        if min(control_bytes, request.room, request.before, length - request.before) < 0:
            return refusing(errno.EINVAL, f"recvmsg of {length} bytes, {control_bytes} of control")
        call: RecvCall | None = None
        give_up_at = math.inf

        def receive(now: float) -> syscalls.RecvReply:
            nonlocal call, give_up_at
            if call is None:
                buffer = EMPTY if request.into is None else self._memory.view(request.into)
                call = RecvCall(
                    sock, RecvRequest(length, control_bytes, request.flags, buffer, request.before)
                )
                if request.timeout_s is not None:
                    give_up_at = now + request.timeout_s
            inline = request.into is None
            if inline and not call.buffer and sock.recv_queue.in_host_memory:
                call.buffer = memoryview(bytearray(min(length, request.room, syscalls.INLINE_BYTES)))
            got = call.attempt(now, wait=now < give_up_at)
            data = bytes(call.buffer[: got.copied]) if inline else b""
            return syscalls.RecvReply(got.count, data, got.cmsgs)

        return receive

    def _sendmsg(self, sock: DevmemSocket, request: syscalls.SendMsg, _: Session) -> Attempt:
        if request.before < 0 or any(not 0 <= length <= _SSIZE_MAX for _, length in request.iov):
            return refusing(errno.EINVAL, "sendmsg of a negative number of bytes")
        if len(request.iov) > uapi.UIO_MAXIOV:
            count = len(request.iov)
            return refusing(errno.EMSGSIZE, f"sendmsg of {count} ranges: give {uapi.UIO_MAXIOV} at most")
        call: SendCall | None = None
        give_up_at = math.inf

        def send(now: float) -> syscalls.Done:
            nonlocal call, give_up_at
            if call is None:
                span = request.source
                data = memoryview(request.data) if span is None else self._memory.view(span)
                parsed = SendRequest(
                    request.flags, data, request.dmabuf_id, request.iov, request.before, request.more
                )
                call = SendCall(sock, parsed, self._netdev.tx_binding)
                if request.timeout_s is not None:
                    give_up_at = now + request.timeout_s
            return syscalls.Done(call.attempt(now, wait=now < give_up_at))

        return send

    def _dontneed(self, sock: DevmemSocket, request: syscalls.DontNeed, _: Session) -> Attempt:
        def dontneed(_: float) -> None:
            sock.devmem_dontneed(request.tokens)

        return dontneed

    def _get_names(self, sock: DevmemSocket, _: syscalls.GetNames, __: Session) -> Attempt:
        return lambda _: names(sock)

    def _bind(self, sock: DevmemSocket, request: syscalls.Bind, _: Session) -> Attempt:
        def bind(_: float) -> syscalls.Done:
            sock.bind(_address(sock, request.address), _port(request.port))
            return syscalls.Done()

        return bind

    def _listen(self, sock: DevmemSocket, request: syscalls.Listen, _: Session) -> Attempt:
        def listen(_: float) -> syscalls.Done:
            sock.listen(request.backlog)
            return syscalls.Done()

        return listen

    def _connect(self, sock: DevmemSocket, request: syscalls.Connect, _: Session) -> Attempt:
        waiting = 0

        def connect(now: float) -> syscalls.Done:
            nonlocal waiting
            if not waiting:
                old = sock.socket_state is SocketState.CONNECTING
                sock.start_connect(_address(sock, request.address), _port(request.port), now)
                waiting = errno.EALREADY if old else errno.EINPROGRESS
            sock.connect_result(now, waiting)
            return syscalls.Done()

        return connect

    def _shutdown(self, sock: DevmemSocket, request: syscalls.Shutdown, _: Session) -> Attempt:
        def shutdown(now: float) -> syscalls.Done:
            sock.shutdown(request.how, now)
            return syscalls.Done()

        return shutdown

    def _read_errqueue(self, sock: DevmemSocket, _: syscalls.ReadErrQueue, __: Session) -> Attempt:
        def read(_: float) -> syscalls.Completion:
            completion = sock.errqueue.read()
            if completion is None:
                raise BlockingIOError(errno.EAGAIN, "no completion waits")
            return syscalls.Completion(uapi.EXTENDED_ERR.pack(*completion))

        return read

    def _wait_completions(
        self, sock: DevmemSocket, request: syscalls.WaitCompletions, _: Session
    ) -> Attempt:
        def wait(_: float) -> syscalls.Done:
            if sock.errqueue.completed < request.count:
                raise BlockingIOError(errno.EAGAIN, f"{sock.errqueue.completed} of {request.count} completed")
            return syscalls.Done(sock.errqueue.completed)

        return wait

    def _setsockopt(self, sock: DevmemSocket, request: syscalls.SetSockOpt, session: Session) -> Attempt:
        what = request.level, request.option, request.value
        return lambda _: syscalls.Done(sockopt.set_option(sock, *what, session.privileged))

    def _getsockopt(self, sock: DevmemSocket, request: syscalls.GetSockOpt, _: Session) -> Attempt:
        level, option, length = request.level, request.option, request.length
        return lambda now: syscalls.Value(sockopt.get_option(sock, level, option, length, now))


def _address(sock: DevmemSocket, text: str) -> int:
    """'' is INADDR_ANY, or IN6ADDR_ANY. An address of the other family: EAFNOSUPPORT, EINVAL."""
    try:
        address = ip.address_int(text) if text else 0
    except ValueError:
        raise OSError(errno.EINVAL, f"{text!r} is not an address that a link carries") from None
    v6 = sock.family == socket.AF_INET6
    if text and (":" in text) is not v6:
        number, want = (errno.EINVAL, "an IPv6") if v6 else (errno.EAFNOSUPPORT, "an IPv4")
        raise OSError(number, f"{text!r} is not {want} address, as a socket of this family needs")
    return address


def _port(port: int) -> int:
    if not 0 <= port <= 0xFFFF:
        raise OSError(errno.EINVAL, f"port {port}: give 0 to 65535")
    return port


def _name(sock: DevmemSocket, name: tuple[int, int]) -> tuple[str, int]:
    text = ip.mapped_text if sock.family == socket.AF_INET6 else ip.address_text
    return text(name[0]), name[1]


def names(sock: DevmemSocket) -> syscalls.SocketNames:
    """Both ends' addresses, as the socket's family writes them."""
    return syscalls.SocketNames(_name(sock, sock.local), _name(sock, sock.peer), sock.family)
