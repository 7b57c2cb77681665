"""The socket module with a host's TCP in it: what programs that know only Python's sockets run on.

    socket = sockets(host)          a module to use in place of `import socket`
    with installed(host): ...       the whole process: http.server, urllib, asyncio, ssl

In: a Host; calls of the socket module's functions and of socket.socket. Out: sockets of the host for TCP over
IPv4 and IPv6, and Linux's own for everything else (AF_UNIX, UDP, descriptors that exist already). Owns
nothing. Names of hosts are the endpoints' (nodes.client.names), other names the resolver's.
`python -m nodes.client.run_with PROGRAM` is `installed` around a program.
"""

from __future__ import annotations

import socket as linux
import ssl
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nodes.client.host import Host
from nodes.client.socket import Socket
from nodes.client.tls import TlsSocket

_FAMILIES = (linux.AF_INET, linux.AF_INET6)
_TYPE_FLAGS = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
_UNSET = -1  # socket.socket's default for family, type and proto
_LINUX_SOCKET = linux.socket
_NO_SUBCLASS = (
    "a TCP socket of a host cannot be of a subclass of socket.socket ({name}); make it with socket.socket "
    "and keep it as an attribute"
)


def sockets(host: Host) -> types.ModuleType:
    """A module like `socket`. Its functions call one another, and none of the real module's that open TCP
    sockets or resolve names."""
    module = types.ModuleType(linux.__name__, linux.__doc__)
    namespace = vars(module)
    namespace.update(vars(linux))
    for name, function in vars(linux).items():
        if isinstance(function, types.FunctionType) and function.__globals__ is vars(linux):
            namespace[name] = _with_globals(function, namespace)
    namespace.update(_replacements(host))
    return module


@contextmanager
def installed(host: Host) -> Iterator[None]:
    """Inside, the socket module of this process is `sockets(host)`, and every ssl.SSLContext wraps sockets of
    hosts too. What modules took from socket before (`from socket import socket`) stays Linux's."""
    replacements = _replacements(host)
    before = {name: vars(linux)[name] for name in replacements}
    tls_before = ssl.SSLContext.sslsocket_class
    vars(linux).update(replacements)
    ssl.SSLContext.sslsocket_class = TlsSocket  # type: ignore[assignment]
    try:
        yield
    finally:
        vars(linux).update(before)
        ssl.SSLContext.sslsocket_class = tls_before


def _with_globals(function: types.FunctionType, namespace: dict[str, Any]) -> types.FunctionType:
    """The same function, in another module."""
    copy = types.FunctionType(
        function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    return copy


class SocketKind(type):
    """Makes calls of socket.socket(...) a socket of the host, or of Linux."""

    host: Host  # of each class that `_socket_class` makes

    # The names of the arguments are socket.socket's: programs give them by keyword.
    def __call__(
        cls, family: int = _UNSET, type: int = _UNSET, proto: int = _UNSET, fileno: int | None = None
    ) -> Any:
        if fileno is not None or not _is_tcp(family, type, proto):
            return super().__call__(family, type, proto, fileno)
        if "host" not in vars(cls):
            raise TypeError(_NO_SUBCLASS.format(name=cls.__name__))
        return cls.host.socket(
            linux.AF_INET if family == _UNSET else family,
            linux.SOCK_STREAM if type == _UNSET else type,
            max(proto, 0),
        )

    def __instancecheck__(cls, instance: object) -> bool:
        if "host" in vars(cls) and isinstance(instance, _LINUX_SOCKET | Socket | TlsSocket):
            return True
        return super().__instancecheck__(instance)


def _is_tcp(family: int, type: int, proto: int) -> bool:
    return (
        family in (_UNSET, *_FAMILIES)
        and (type == _UNSET or type & ~_TYPE_FLAGS == linux.SOCK_STREAM)
        and proto in (_UNSET, 0, linux.IPPROTO_TCP)
    )


def _replacements(host: Host) -> dict[str, Any]:
    """By name: what the socket module has otherwise for this host."""
    resolver = Resolver(host)
    return {
        "socket": SocketKind("socket", (_LINUX_SOCKET,), {"host": host, "__slots__": ()}),
        "getaddrinfo": resolver.getaddrinfo,
        "gethostbyname": resolver.gethostbyname,
        "gethostbyname_ex": resolver.gethostbyname_ex,
        "gethostbyaddr": resolver.gethostbyaddr,
    }


class Resolver:
    """The resolving functions of the socket module. A host's name and its addresses are known to the
    endpoints; for everything else Linux's function is called."""

    def __init__(self, host: Host) -> None:
        self._names = host.names
        self._getaddrinfo = linux.getaddrinfo
        self._gethostbyname, self._gethostbyname_ex = linux.gethostbyname, linux.gethostbyname_ex
        self._gethostbyaddr = linux.gethostbyaddr

    def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        known = [] if flags & linux.AI_NUMERICHOST else self._addresses(name, family)
        if not known:
            return self._getaddrinfo(host, port, family, type, proto, flags)
        return [
            entry
            for address in known
            for entry in self._getaddrinfo(address, port, family, type, proto, flags & ~linux.AI_ADDRCONFIG)
        ]

    def _addresses(self, name: object, family: int) -> list[str]:
        if not isinstance(name, str):
            return []
        wanted = [family] if family else _FAMILIES
        found = [self._names.resolve(name, each) for each in wanted if each in _FAMILIES]
        return [address for address in found if address is not None]

    def gethostbyname(self, hostname: str) -> str:
        return self._names.resolve(hostname, linux.AF_INET) or self._gethostbyname(hostname)

    def gethostbyname_ex(self, hostname: str) -> tuple[str, list[str], list[str]]:
        address = self._names.resolve(hostname, linux.AF_INET)
        return (hostname, [], [address]) if address else self._gethostbyname_ex(hostname)

    def gethostbyaddr(self, ip_address: str) -> tuple[str, list[str], list[str]]:
        if self._names.resolve(ip_address, linux.AF_INET):
            return self.gethostbyname_ex(ip_address)
        name = self._names.name_of(ip_address)
        return (name, [], [ip_address]) if name else self._gethostbyaddr(ip_address)
