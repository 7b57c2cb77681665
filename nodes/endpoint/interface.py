"""The Linux interface beneath the wire: what it is, and that our addresses on it are ours alone.

In: an interface's name, an address. Out: its MTU; a claim on the address, or InterfaceError. Owns the claims:
a socket each, whose name no second endpoint of this network namespace can have (unix(7), abstract names).
Source: rtnetlink(7), include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from contextlib import ExitStack

_SIOCGIFMTU = 0x8921
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_NLM_F_REQUEST = 1
_RTA_DST, _RTN_LOCAL = 1, 2
_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_RTMSG = struct.Struct("=BBB4xB4x")  # family, bits of the destination, of the source, type of the route
_RTATTR = struct.Struct("=HH")  # length, type

class InterfaceError(RuntimeError):
    """The interface cannot be had like this; one sentence."""


def mtu(ifname: str) -> int:
    """Bytes of an IP packet. Raises OSError."""
    request = struct.pack("16si", ifname.encode(), 0).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFMTU, request)
    return int(struct.unpack_from("16si", answer)[1])


def claim(stack: ExitStack, ifname: str, option: str, address: str) -> None:
    """Have `address`, of `option`, on the interface until `stack` ends. Raises InterfaceError when Linux or
    another endpoint has it: neither would be seen on the wire, which does not carry to its own sender."""
    ip = ipaddress.ip_interface(address).ip
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
    """Linux would deliver to itself. (That a socket can be bound to an address says less: one can to any in a
    namespace that has none yet.)"""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    to = _RTATTR.pack(_RTATTR.size + len(ip.packed), _RTA_DST) + ip.packed
    body = _RTMSG.pack(family, ip.max_prefixlen, 0, 0) + to
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(body), _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + body)
        answer = sock.recv(4096)
    if _NLMSGHDR.unpack_from(answer)[1] != _RTM_NEWROUTE:  # an error: there is no route to it
        return False
    return bool(_RTMSG.unpack_from(answer, _NLMSGHDR.size)[3] == _RTN_LOCAL)
