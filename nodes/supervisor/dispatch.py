"""Which part answers a trapped call: by its name, and by what its descriptor is.

In: trapped calls. Out: results, or handlers that may wait. Owns the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nodes.client.host import Host
from nodes.supervisor import udmabuf
from nodes.supervisor.call import Call, GoOn, Handler, Result
from nodes.supervisor.connection_calls import ConnectionCalls
from nodes.supervisor.descriptor_calls import DescriptorCalls
from nodes.supervisor.files import Files
from nodes.supervisor.interface_ioctl import InterfaceIoctl
from nodes.supervisor.netlink.ethtool_ioctl import EthtoolIoctl
from nodes.supervisor.netlink.netlink_calls import NetlinkCalls
from nodes.supervisor.netlink.netlink_file import NetlinkFile
from nodes.supervisor.netlink.route_calls import RouteCalls
from nodes.supervisor.netlink.route_file import RouteFile
from nodes.supervisor.receive_calls import ReceiveCalls
from nodes.supervisor.seccomp import Listener
from nodes.supervisor.send_calls import SendCalls
from nodes.supervisor.socket_file import SocketFile

_RECEIVING = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg")
_SENDING = ("write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile")
_CONNECTIONS = (
    "bind", "listen", "connect", "accept", "accept4", "shutdown", "getsockname", "getpeername", "setsockopt",
    "getsockopt", "ioctl",
)  # fmt: skip
_PATH_AND_FLAGS = {"open": (0, 1), "openat": (1, 2)}  # which arguments they are


class Dispatch:
    """`renewed(call, file, before)`: after a failed attempt to connect the socket has another poll file than
    the one of identity `before`. `to_linux(call, file)`: the socket becomes one of Linux. `name(text)`: on
    standard error, once."""

    def __init__(
        self,
        host: Host,
        files: Files,
        listener: Listener,
        renewed: Callable[[Call, SocketFile, str], None],
        to_linux: Callable[[Call, SocketFile], None],
        name: Callable[[str], None],
    ) -> None:
        self._files = files
        self._owing: dict[SocketFile, None] = {}  # sockets that may have tokens to give back
        self._receiving, self._sending = ReceiveCalls(host), SendCalls(host)
        self._connections = ConnectionCalls(host, renewed, to_linux, name)
        self._on_socket: dict[str, Any] = {
            **dict.fromkeys(_RECEIVING, self._receiving),
            **dict.fromkeys(_SENDING, self._sending),
            **dict.fromkeys(_CONNECTIONS, self._connections),
        }
        self._descriptors = DescriptorCalls(files, listener)
        self._udmabuf = udmabuf.Udmabuf()
        self._netlink, self._ethtool = NetlinkCalls(host.path), EthtoolIoctl(host)
        self._interfaces, self._routes = InterfaceIoctl(host.nics), RouteCalls(host.path, host.nics)

    def make(self, call: Call) -> Result | Handler:
        """Raises GoOn for a call that is none of ours, OSError for a refusal."""
        if call.name == "socket":
            return self._netlink.socket(call) or self._routes.socket(call) or self._connections.socket(call)
        if call.name in _PATH_AND_FLAGS:
            return self._udmabuf.open(call, *_PATH_AND_FLAGS[call.name])
        if call.name not in self._on_socket:
            self._descriptors.leave(call)
            raise GoOn
        if call.name == "ioctl":
            for part in (self._ethtool, self._interfaces):
                if part.is_asked(call):
                    return part.ioctl(call)
        file = self._files.of(call.pid, call.fd)
        if isinstance(file, SocketFile):
            if call.name == "setsockopt":
                self._owing[file] = None
            else:
                file.flush()
            method: Callable[[Call, SocketFile], Result | Handler]
            method = getattr(self._on_socket[call.name], call.name)
            return method(call, file)
        if isinstance(file, NetlinkFile):
            return self._netlink.make(call, file)
        if isinstance(file, RouteFile):
            return self._routes.make(call, file)
        if call.name == "ioctl":
            return udmabuf.ioctl(call, self._udmabuf if isinstance(file, udmabuf.Device) else None)
        raise GoOn

    @property
    def owes(self) -> bool:
        """Whether `settle` has something to do soon."""
        return bool(self._owing) or self._descriptors.executing

    def settle(self) -> None:
        """Nothing happens: what programs have returned goes back, what exec has closed ends."""
        if self._descriptors.executing:
            self._descriptors.look_after_execs()
        for file in self._owing:
            with suppress(OSError):  # the socket, or the endpoint, is gone
                file.flush()
        self._owing.clear()

    def close(self) -> None:
        parts = (self._receiving, self._sending, self._udmabuf, self._descriptors)
        for part in (*parts, self._netlink, self._routes):
            with suppress(ConnectionError):  # the endpoint has ended, and what was registered with it
                part.close()
