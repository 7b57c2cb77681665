"""The Linux interface beneath the wire: what it is, and that our addresses on it are ours alone.

In: an interface's name, an address. Out: its MTU; a claim on the address, or InterfaceError. Owns the claims:
a socket each, whose name no second endpoint of this network namespace can have (unix(7), abstract names).
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from contextlib import ExitStack

_SIOCGIFMTU = 0x8921

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class InterfaceError(RuntimeError):
    """The interface cannot be had like this; one sentence."""


def mtu(ifname: str) -> int:
    """Bytes of an IP packet. Raises OSError."""
    request = struct.pack("16si", ifname.encode(), 0).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFMTU, request)
    return int(struct.unpack_from("16si", answer)[1])


def claim(stack: ExitStack, ifname: str, option: str, address: Address) -> None:
    """Have `address`, of `option`, on the interface until `stack` ends. Raises InterfaceError when Linux or
    another endpoint has it: neither would be seen on the wire, which does not carry to its own sender."""
    ip = address.ip
    if _is_linuxs(ip):
        raise InterfaceError(
            f"{option} {address} is an address of Linux itself: choose one that `ip addr` does not show"
        )
    ours = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    try:
        ours.bind(f"\0devmem-endpoint/{socket.if_nametoindex(ifname)}/{ip}")
    except OSError:
        raise InterfaceError(
            f"{option} {address} is used by another endpoint on {ifname}: choose another, or stop that one"
        ) from None


def _is_linuxs(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """A socket can be bound to it."""
    try:
        with socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((str(ip), 0))
    except OSError:
        return False
    return True
