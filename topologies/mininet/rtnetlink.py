"""Set and read an interface's MTU and its largest super-packet.

In: an interface's name in some network namespace. Out: what the kernel says its limits are. Owns one socket.
Written by hand since pyroute2 0.9.7 drops the IPv4 attributes in silence. net/core/rtnetlink.c,
include/uapi/linux/if_link.h, rtnetlink(7).
"""

from __future__ import annotations

import os
import socket
import struct

import msgspec

from topologies.mininet.isolation import network_namespace_of

RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK = 16, 18, 19
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLMSG_ERROR = 2
IFF_UP = 1
IFLA_IFNAME, IFLA_MTU = 3, 4
IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE = 41, 58
IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE = 63, 64
SUPER_PACKET_LIMITS = (IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE)

_NLMSGHDR = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
_RTATTR = struct.Struct("=HH")  # length, type
_U32 = struct.Struct("=I")


class LinkLimits(msgspec.Struct, frozen=True):
    """Bytes; None where this kernel does not know the attribute."""

    ifindex: int
    mtu: int
    gso_max_bytes: int
    gro_max_bytes: int | None
    gso_ipv4_max_bytes: int | None
    gro_ipv4_max_bytes: int | None

    @property
    def super_packet_bytes(self) -> tuple[int | None, ...]:
        """In the order of SUPER_PACKET_LIMITS."""
        return self.gso_max_bytes, self.gro_max_bytes, self.gso_ipv4_max_bytes, self.gro_ipv4_max_bytes


class LinkSocket:
    """Asks about the interfaces of one network namespace: the caller's, or that of process `pid`."""

    def __init__(self, pid: int | None = None) -> None:
        if pid is None:
            self._socket = _open()
        else:
            with network_namespace_of(pid):
                self._socket = _open()

    def __enter__(self) -> LinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, name: str) -> LinkLimits:
        """The interface's limits. Raises OSError, ENODEV when there is none of that name."""
        body = self._ask(RTM_GETLINK, 0, _attribute(IFLA_IFNAME, name.encode() + b"\0"), name)
        ifindex = _IFINFOMSG.unpack_from(body)[2]
        found = _integers(body[_IFINFOMSG.size :])
        others = map(found.get, SUPER_PACKET_LIMITS[1:])
        return LinkLimits(ifindex, found[IFLA_MTU], found[IFLA_GSO_MAX_SIZE], *others)

    def set(self, name: str, mtu: int, gso_max_bytes: int) -> LinkLimits:
        """Set all limits and read them back. Raises OSError when the kernel refuses or ignores one."""
        before = self.get(name)
        wanted = {IFLA_MTU: mtu}
        if any(known not in (None, gso_max_bytes) for known in before.super_packet_bytes):
            wanted |= dict.fromkeys(SUPER_PACKET_LIMITS, gso_max_bytes)
        for kind, value in wanted.items():
            self._ask(RTM_SETLINK, before.ifindex, _attribute(kind, _U32.pack(value)), name)
        after = self.get(name)
        known_after = {known for known in after.super_packet_bytes if known is not None or len(wanted) > 1}
        if after.mtu != mtu or known_after != {gso_max_bytes}:
            raise OSError(
                f"interface {name} was asked for mtu {mtu} and super-packets of {gso_max_bytes} bytes, "
                f"but has {after}; use super-packets of 65536 bytes, or Linux 6.3 or later"
            )
        return after

    def up(self, name: str) -> None:
        """Bring the interface up. Raises OSError."""
        self._ask(RTM_SETLINK, self.get(name).ifindex, b"", name, IFF_UP, IFF_UP)

    def down(self, name: str) -> None:
        """Take the interface down. Raises OSError."""
        self._ask(RTM_SETLINK, self.get(name).ifindex, b"", name, 0, IFF_UP)

    def _ask(
        self, kind: int, ifindex: int, attributes: bytes, name: str, flags: int = 0, change: int = 0
    ) -> bytes:
        body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, ifindex, flags, change) + attributes
        ack = 0 if kind == RTM_GETLINK else NLM_F_ACK
        self._socket.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(body), kind, NLM_F_REQUEST | ack, 1, 0) + body)
        answer = self._socket.recv(65536)
        length, answered = _NLMSGHDR.unpack_from(answer)[:2]
        if answered == NLMSG_ERROR:
            code = -struct.unpack_from("=i", answer, _NLMSGHDR.size)[0]
            if code:
                raise OSError(
                    code, f"the kernel refused to change or show interface {name}: {os.strerror(code)}"
                )
        return answer[_NLMSGHDR.size : length]


def _open() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def _attribute(kind: int, value: bytes) -> bytes:
    length = _RTATTR.size + len(value)
    return _RTATTR.pack(length, kind) + value + bytes(-length % 4)


def _integers(attributes: bytes) -> dict[int, int]:
    found, at = {}, 0
    while at + _RTATTR.size <= len(attributes):
        length, kind = _RTATTR.unpack_from(attributes, at)
        if length == _RTATTR.size + _U32.size:
            found[kind] = _U32.unpack_from(attributes, at + _RTATTR.size)[0]
        at += max(_RTATTR.size, length + (-length % 4))
    return found
