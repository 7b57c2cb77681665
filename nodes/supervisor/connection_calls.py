"""socket, bind, listen, connect, accept, shutdown, names, options and ioctls of sockets of the host's stack.

In: trapped calls. Out: new sockets as descriptors of the program, results. Owns nothing.
Source: net/socket.c, inet_stream_connect (net/ipv4/af_inet.c), tcp_ioctl (net/ipv4/tcp.c).
"""

from __future__ import annotations

import errno
import ipaddress
import select
import socket as linux
from collections.abc import Callable
from contextlib import suppress

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.supervisor import describe, layouts
from nodes.supervisor.call import Call, GoOn, Handler, NewFd, Result
from nodes.supervisor.layouts import INT
from nodes.supervisor.seccomp import Vanished
from nodes.supervisor.socket_file import SocketFile
from nodes.uapi import socket as uapi

_TYPE_MASK = 0xF
_OPTION_MAX = 1024  # the longest value that a stack's option has
_CONNECTED = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_ACCEPTABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_FIONBIO, _FIOASYNC, _FIOCLEX, _FIONCLEX = 0x5421, 0x5452, 0x5451, 0x5450
_OF_INTERFACES = (0x8910, 0x8913, 0x891D, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970)  # SIOCGIFNAME to SIOCGIFMAP
_KERNELS_OWN = (_FIONBIO, _FIOASYNC, _FIOCLEX, _FIONCLEX, *_OF_INTERFACES)  # of any open file, any socket


def _nothing(_: int) -> None:
    """Before a socket becomes one of Linux."""


class ConnectionCalls:
    """`renewed(call, file)`: after a failed attempt to connect, the socket may have another poll file.
    `to_linux(call, file)`: the program's descriptor becomes a socket of Linux. `name(text)` tells the user
    what the testbed has no answer to."""

    def __init__(
        self,
        host: Host,
        renewed: Callable[[Call, SocketFile, str], None],
        to_linux: Callable[[Call, SocketFile], None],
        name: Callable[[str], None],
    ) -> None:
        self._host = host
        self._name = name
        self._renewed = renewed
        self._to_linux = to_linux

    def socket(self, call: Call) -> Result:
        family, kind, proto = map(call.int_arg, range(3))
        call.shown = describe.kind(family, kind, proto)
        if family not in (linux.AF_INET, linux.AF_INET6) or kind & _TYPE_MASK != linux.SOCK_STREAM:
            raise GoOn
        if proto not in (0, linux.IPPROTO_TCP):
            raise call.refuse(f"protocol {proto} of a stream: a host has TCP alone", errno.EPROTONOSUPPORT)
        sock = self._host.socket(family, linux.SOCK_STREAM, proto)
        file = SocketFile(sock, bool(kind & linux.SOCK_NONBLOCK))
        return NewFd(file, bool(kind & linux.SOCK_CLOEXEC))

    def bind(self, call: Call, file: SocketFile) -> Result:
        address = layouts.read_bind_address(call.pid, call.args[1], call.int_arg(2), file.family)
        call.shown = [str(call.fd), describe.address(address, file.family), str(call.int_arg(2))]
        self._leave_for_loopback(call, file, address)
        file.sock.bind(address)
        return 0

    def listen(self, call: Call, file: SocketFile) -> Result:
        file.sock.listen(call.int_arg(1))
        return 0

    def connect(self, call: Call, file: SocketFile) -> Handler:
        address = layouts.read_address(call.pid, call.args[1], call.int_arg(2), file.family)
        before = file.identity
        if address is None:
            file.sock.disconnect()
            self._renewed(call, file, before)
            return 0
        call.shown = [str(call.fd), describe.address(address, file.family), str(call.int_arg(2))]
        self._leave_for_loopback(call, file, address, self._name_listener)
        deadline, begun = None, False
        while True:
            try:
                file.sock.connect(address)
                return 0
            except BlockingIOError as going_on:
                if not file.blocks():
                    raise
                if begun and deadline is not None and going_on.errno == errno.EAGAIN:
                    raise
                waiting = file.wait(_CONNECTED, 0, uapi.SO_SNDTIMEO, deadline)
                begun, deadline = True, waiting.deadline
            except OSError as refused:
                self._renewed(call, file, before)
                if begun and refused.errno == errno.EISCONN:
                    return 0
                raise
            try:
                yield waiting
            except BlockingIOError:  # at the deadline the attempt goes on
                raise BlockingIOError(errno.EINPROGRESS, "SO_SNDTIMEO") from None

    def _leave_for_loopback(
        self, call: Call, file: SocketFile, address: layouts.Address, before: Callable[[int], None] = _nothing
    ) -> None:
        """A host's stack has no loopback device. Linux has, and makes the call, after `before(port)`."""
        ip = ipaddress.ip_address(address[0])
        if (getattr(ip, "ipv4_mapped", None) or ip).is_loopback:
            before(address[1])
            self._to_linux(call, file)
            raise GoOn

    def _name_listener(self, port: int) -> None:
        """A program that connects by loopback to a listener of the host's stack is refused: it hears why."""
        with suppress(OSError):  # the endpoint is gone
            if any(row.state == "LISTEN" and row.local[1] == port for row in self._host.sockets()):
                self._name(
                    f"connect: port {port} listens at {self._host.address}, where no loopback reaches it: "
                    "a server and its client are on two hosts"
                )

    def accept(self, call: Call, file: SocketFile) -> Handler:
        return (yield from self._accept(call, file, 0))

    def accept4(self, call: Call, file: SocketFile) -> Handler:
        flags = call.int_arg(3)
        if flags & ~(linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC):
            raise OSError(errno.EINVAL, f"accept4 flags {flags:#x}")
        return (yield from self._accept(call, file, flags))

    def _accept(self, call: Call, file: SocketFile, flags: int) -> Handler:
        accepted: tuple[Socket, layouts.Address] = yield from file.until(
            file.sock.accept, _ACCEPTABLE, 0, uapi.SO_RCVTIMEO
        )
        sock, address = accepted
        connection = SocketFile(sock, bool(flags & linux.SOCK_NONBLOCK))
        try:
            call.shown = [str(call.fd), describe.address(address[:2], file.family), f"{call.args[2]:#x}"]
            if call.args[1]:
                packed = layouts.pack_address(address[:2], file.family)
                layouts.write_address(call.pid, call.args[1], call.args[2], packed)
        except (OSError, Vanished):
            connection.close()
            raise
        return NewFd(connection, bool(flags & linux.SOCK_CLOEXEC))

    def shutdown(self, call: Call, file: SocketFile) -> Result:
        file.sock.shutdown(call.int_arg(1))
        return 0

    def getsockname(self, call: Call, file: SocketFile) -> Result:
        packed = layouts.pack_address(file.sock.getsockname()[:2], file.family)
        layouts.write_address(call.pid, call.args[1], call.args[2], packed)
        return 0

    def getpeername(self, call: Call, file: SocketFile) -> Result:
        packed = layouts.pack_address(file.sock.getpeername()[:2], file.family)
        layouts.write_address(call.pid, call.args[1], call.args[2], packed)
        return 0

    # --- options

    def setsockopt(self, call: Call, file: SocketFile) -> Result:
        level, option, length = call.int_arg(1), call.int_arg(2), call.int_arg(4)
        if length < 0:
            raise OSError(errno.EINVAL, f"an option of {length} bytes")
        value = call.read(3, min(length, _OPTION_MAX * 8))
        shown = describe.value(level, option, value)
        call.shown = [str(call.fd), *describe.option(level, option), shown, str(length)]
        if (level, option) == (uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED):
            freed = file.tokens.give_back(value)
            if freed is not None:
                return freed
            file.flush()
            file.tokens.forget(value)
        done = file.sock.setsockopt(level, option, value)
        file.options[level, option] = value
        return done

    def getsockopt(self, call: Call, file: SocketFile) -> Result:
        level, option = call.int_arg(1), call.int_arg(2)
        (room,) = INT.unpack(call.read(4, INT.size))
        call.shown = [str(call.fd), *describe.option(level, option), f"{call.args[3]:#x}", f"[{room}]"]
        if room < 0:
            raise OSError(errno.EINVAL, f"room for an option of {room} bytes")
        value = file.sock.getsockopt(level, option, max(1, min(room, _OPTION_MAX)))
        assert isinstance(value, bytes)
        call.shown[3] = describe.value(level, option, value[:room])
        call.write(3, value[:room])
        call.write(4, INT.pack(min(room, len(value))))
        return 0

    def ioctl(self, call: Call, file: SocketFile) -> Result:
        request = call.args[1] & 0xFFFFFFFF
        if request in _KERNELS_OWN:
            raise GoOn
        try:
            value = file.sock.ioctl(request)
        except OSError as e:
            if e.errno == errno.ENOTTY:
                raise call.refuse(f"request {request:#x} on a socket of the host's stack", e.errno) from None
            raise
        call.write(2, INT.pack(value))
        return 0
