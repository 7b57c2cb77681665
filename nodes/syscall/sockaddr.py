"""Socket addresses between text, as requests and replies have them, and integers, as the stack has them.

In: a socket, whose family decides the form. Out: an address, a port, names. Owns nothing.
Source: inet_bind and inet_getname (net/ipv4/af_inet.c), inet6_bind and inet6_getname (net/ipv6/af_inet6.c).
"""

from __future__ import annotations

import errno
import socket

from nodes.sock.devmem_socket import DevmemSocket
from nodes.uapi.syscalls import SocketNames
from nodes.wire import ip


def address_of(sock: DevmemSocket, text: str) -> int:
    """'' is INADDR_ANY, or IN6ADDR_ANY. EAFNOSUPPORT or EINVAL for an address of the other family, EINVAL for
    what is no address."""
    try:
        address = ip.address_int(text) if text else 0
    except ValueError:
        raise OSError(errno.EINVAL, f"{text!r} is not an address that a link carries") from None
    v6 = sock.family == socket.AF_INET6
    if text and (":" in text) is not v6:
        number, want = (errno.EINVAL, "an IPv6") if v6 else (errno.EAFNOSUPPORT, "an IPv4")
        raise OSError(number, f"{text!r} is not {want} address, as a socket of this family needs")
    return address


def port_of(port: int) -> int:
    """`port`, when it is one. EINVAL."""
    if not 0 <= port <= 0xFFFF:
        raise OSError(errno.EINVAL, f"port {port}: give 0 to 65535")
    return port


def name_of(sock: DevmemSocket, end: tuple[int, int]) -> tuple[str, int]:
    """An end's (address, port) as the socket's family writes it."""
    text = ip.mapped_text if sock.family == socket.AF_INET6 else ip.address_text
    return text(end[0]), end[1]


def names_of(sock: DevmemSocket) -> SocketNames:
    """What getsockname and getpeername return."""
    return SocketNames(name_of(sock, sock.local), name_of(sock, sock.peer), sock.family)
