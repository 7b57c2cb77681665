"""The system calls of a generic netlink socket.

In: trapped calls. Out: new sockets as descriptors of the program, results. Owns the port ids. A request is
answered while it is sent, as in the kernel; a thread asks the host's control plane, so that other calls of
the program are answered meanwhile. Source: net/netlink/af_netlink.c.
"""

from __future__ import annotations

import errno
import socket as linux
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from nodes.client.host import Host
from nodes.supervisor import layouts, tracee
from nodes.supervisor.call import Call, GoOn, Handler, InThread, NewFd, Result
from nodes.supervisor.layouts import INT
from nodes.supervisor.netlink import datagram_calls, genetlink
from nodes.supervisor.netlink.attributes import Values
from nodes.supervisor.netlink.control_plane import ControlPlane
from nodes.supervisor.netlink.datagram_calls import SOCKADDR, address
from nodes.supervisor.netlink.families import GROUPS
from nodes.supervisor.netlink.netlink_file import NetlinkFile
from nodes.supervisor.netlink.notifications import Notifications

_GENERIC = 16  # NETLINK_GENERIC
_TYPE_MASK = 0xF
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _LIST_MEMBERSHIPS = 1, 2, 9
# BROADCAST_ERROR, NO_ENOBUFS, LISTEN_ALL_NSID, which change nothing here; CAP_ACK, EXT_ACK, GET_STRICT_CHK
_SWITCHES = (4, 5, 8, 10, 11, 12)
_FIRST_AUTOMATIC = 0xFFFFF000  # port ids of a process's second socket and those after: -4096 and below
_SEND_MAX = 212992  # net.core.wmem_default, a socket's send buffer
_MEMBERSHIP_BYTES = 4


class NetlinkCalls:
    """`channel`: the path of the host's system-call channel."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._ports: WeakValueDictionary[int, NetlinkFile] = WeakValueDictionary()
        self._notifications = Notifications(partial(Host, channel))

    def socket(self, call: Call) -> Result | None:
        """None: it is no generic netlink socket."""
        family, kind, protocol = map(call.int_arg, range(3))
        plain = kind & _TYPE_MASK
        if family != linux.AF_NETLINK or protocol != _GENERIC:
            return None
        if plain not in (linux.SOCK_RAW, linux.SOCK_DGRAM):
            raise OSError(errno.ESOCKTNOSUPPORT, f"socket type {plain} of AF_NETLINK")
        file = NetlinkFile(self._channel, plain, bool(kind & linux.SOCK_NONBLOCK))
        return NewFd(file, bool(kind & linux.SOCK_CLOEXEC))

    def make(self, call: Call, file: NetlinkFile) -> Result | Handler:
        """Any call on such a socket; EOPNOTSUPP."""
        methods: dict[str, Callable[[Call, NetlinkFile], Result | Handler]] = {
            "bind": self._bind, "connect": self._connect, "getsockname": self._getsockname,
            "getpeername": self._getpeername, "setsockopt": self._setsockopt, "getsockopt": self._getsockopt,
            "write": self._write, "writev": self._writev, "sendto": self._sendto, "sendmsg": self._sendmsg,
            **dict.fromkeys(datagram_calls.RECEIVING, self._receive), "ioctl": self._ioctl,
        }  # fmt: skip
        if call.name not in methods:
            raise call.refuse("a netlink socket has no such call here")
        return methods[call.name](call, file)

    # --- addresses

    def _bind(self, call: Call, file: NetlinkFile) -> Handler:
        """nl_pid 0: the process's id, or a number of its own where another socket has that."""
        port, groups = self._read_address(call, 1, 2)
        members = {at + 1 for at in range(32) if groups >> at & 1}
        _check_groups(members)
        if file.port and port not in (0, file.port):
            raise OSError(errno.EINVAL, "the socket is bound")
        self._take_port(call, file, port)
        file.groups = members
        if members:
            yield InThread(partial(self._notifications.joined, file))
        return 0

    def _take_port(self, call: Call, file: NetlinkFile, wanted: int = 0) -> None:
        if file.port:
            return
        if wanted in self._ports:
            raise OSError(errno.EADDRINUSE, f"port id {wanted}")
        port = wanted or tracee.group_of(call.pid)
        if port in self._ports:
            port = next(each for each in range(_FIRST_AUTOMATIC, 0, -1) if each not in self._ports)
        self._ports[port] = file
        file.port = port

    def _read_address(self, call: Call, at: int, length_at: int) -> tuple[int, int]:
        """nl_pid and nl_groups. EINVAL."""
        if call.int_arg(length_at) < SOCKADDR.size:
            raise OSError(errno.EINVAL, "an address shorter than sockaddr_nl")
        return _parsed(call.read(at, SOCKADDR.size))

    def _connect(self, call: Call, file: NetlinkFile) -> Result:
        _check_kernel(*self._read_address(call, 1, 2))
        self._take_port(call, file)
        return 0

    def _getsockname(self, call: Call, file: NetlinkFile) -> Result:
        groups = sum(1 << group - 1 for group in file.groups if group <= 32)
        return _write_address(call, address(file.port, groups))

    def _getpeername(self, call: Call, _: NetlinkFile) -> Result:
        return _write_address(call, address())

    # --- options

    def _setsockopt(self, call: Call, file: NetlinkFile) -> Handler:
        """SOL_SOCKET's are those of the program's own descriptor."""
        level, option, length = call.int_arg(1), call.int_arg(2), call.int_arg(4)
        if level == linux.SOL_SOCKET:
            raise GoOn
        if level != _SOL_NETLINK:
            raise OSError(errno.ENOPROTOOPT, f"level {level}")
        if length < INT.size:
            raise OSError(errno.EINVAL, f"an option of {length} bytes")
        (value,) = INT.unpack(call.read(3, INT.size))
        if option in (_ADD_MEMBERSHIP, _DROP_MEMBERSHIP):
            _check_groups({value})
            file.groups = file.groups - {value}
            if option == _ADD_MEMBERSHIP:
                file.groups = file.groups | {value}
                yield InThread(partial(self._notifications.joined, file))
        elif option in _SWITCHES:
            file.options[option] = int(bool(value))
        else:
            raise OSError(errno.ENOPROTOOPT, f"option {option} of SOL_NETLINK")
        return 0

    def _getsockopt(self, call: Call, file: NetlinkFile) -> Result:
        level, option = call.int_arg(1), call.int_arg(2)
        kinds = {linux.SO_DOMAIN: linux.AF_NETLINK, linux.SO_TYPE: file.kind, linux.SO_PROTOCOL: _GENERIC}
        if level == linux.SOL_SOCKET and option not in kinds:
            raise GoOn
        (room,) = INT.unpack(call.read(4, INT.size))
        if level == linux.SOL_SOCKET:
            value = INT.pack(kinds[option])
        elif level == _SOL_NETLINK and option == _LIST_MEMBERSHIPS:
            groups = sum(1 << group - 1 for group in file.groups)
            value = groups.to_bytes(_MEMBERSHIP_BYTES, "little")
        elif level == _SOL_NETLINK and option in _SWITCHES:
            value = INT.pack(file.options.get(option, 0))
        else:
            raise OSError(errno.ENOPROTOOPT, f"option {option} of level {level}")
        if room < 0:
            raise OSError(errno.EINVAL, f"room for an option of {room} bytes")
        call.write(3, value[:room])
        call.write(4, INT.pack(len(value)))
        return 0

    def _ioctl(self, _: Call, __: NetlinkFile) -> Result:
        raise GoOn

    # --- sending

    def _write(self, call: Call, file: NetlinkFile) -> Handler:
        return self._send(call, file, partial(call.read, 1), call.args[2])

    def _writev(self, call: Call, file: NetlinkFile) -> Handler:
        return self._gathered(call, file, layouts.read_iovecs(call.pid, call.args[1], call.args[2]))

    def _sendto(self, call: Call, file: NetlinkFile) -> Handler:
        if call.args[4]:
            _check_kernel(*self._read_address(call, 4, 5))
        return self._send(call, file, partial(call.read, 1), call.args[2])

    def _sendmsg(self, call: Call, file: NetlinkFile) -> Handler:
        message = layouts.read_msghdr(call.pid, call.args[1])
        if message.name_bytes:
            if message.name_bytes < SOCKADDR.size:
                raise OSError(errno.EINVAL, "an address shorter than sockaddr_nl")
            _check_kernel(*_parsed(tracee.read(call.pid, message.name, SOCKADDR.size)))
        return self._gathered(call, file, message.iov)

    def _gathered(self, call: Call, file: NetlinkFile, iov: tuple[layouts.Iovec, ...]) -> Handler:
        length = sum(each.length for each in iov)
        return self._send(call, file, lambda _: layouts.gather(call.pid, iov), length)

    def _send(self, call: Call, file: NetlinkFile, read: Callable[[int], bytes], length: int) -> Handler:
        if length > _SEND_MAX:
            raise OSError(errno.EMSGSIZE, f"a datagram of {length} bytes")
        self._take_port(call, file)
        datagram = read(length)
        call.shown = [str(call.fd), genetlink.described(datagram), str(length)]
        duplicate = partial(tracee.descriptor, call.pid)

        received: list[bytes] = []

        def request(host: Callable[[], Host]) -> int:
            def answers(*asked: Any) -> list[Values]:
                return ControlPlane(host(), duplicate)(*asked)

            received.extend(genetlink.answer(datagram, file.address, answers))
            return length

        yield InThread(partial(file.ask, request))
        file.put(received)
        return length

    def _receive(self, call: Call, file: NetlinkFile) -> Handler:
        return datagram_calls.receive(call, file.take)

    def close(self) -> None:
        """The program has ended."""
        self._notifications.close()


def _parsed(packed: bytes) -> tuple[int, int]:
    family, _, port, groups = SOCKADDR.unpack(packed)
    if family != linux.AF_NETLINK:
        raise OSError(errno.EINVAL, f"an address of family {family}")
    return port, groups


def _check_kernel(port: int, groups: int) -> None:
    """The host's control plane is the one socket that can be reached."""
    if port or groups:
        raise OSError(errno.ECONNREFUSED, f"no socket has port id {port}")


def _check_groups(groups: set[int]) -> None:
    if not groups <= GROUPS:
        raise OSError(errno.EINVAL, f"there is no multicast group {min(groups - GROUPS)}")


def _write_address(call: Call, packed: bytes) -> Result:
    layouts.write_address(call.pid, call.args[1], call.args[2], packed)
    return 0
