"""The options of levels IPPROTO_IP and IPPROTO_IPV6.

In: a socket, the bytes of a value. Out: the socket's `options` changed; the bytes of a value. Owns the
tables. Source: do_ip_setsockopt (net/ipv4/ip_sockglue.c), do_ipv6_setsockopt (net/ipv6/ipv6_sockglue.c).
"""

from __future__ import annotations

import errno
import socket

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.option_entry import INT, Option, Setting, field_of, put_field
from nodes.uapi import socket as uapi

_ECN_BITS = 3  # of a TOS byte; TCP's own
_PRIORITY_OF_TOS = (0, 2, 6, 4)  # by the bits for throughput and delay (RFC 1349)
_IP, _IPV6 = socket.IPPROTO_IP, socket.IPPROTO_IPV6


def _set_tos(sock: DevmemSocket, given: Setting) -> None:
    """A value of one byte is accepted, and an empty one is 0. The ECN bits are TCP's own. The priority
    follows from the TOS (ip_tos2prio)."""
    tos = (given.value[0] if given.value else 0) & ~_ECN_BITS  # an int's first byte, its lowest
    put_field(sock, "tos", tos)
    put_field(sock, "priority", _PRIORITY_OF_TOS[tos >> 3 & 3])


def _set_tclass(sock: DevmemSocket, given: Setting) -> None:
    if not -1 <= given.number <= 0xFF:
        raise error(errno.EINVAL, f"IPV6_TCLASS {given.number}: give 0 to 255, or -1 for the default")
    put_field(sock, "tclass", max(0, given.number) & ~_ECN_BITS)


def _set_v6only(sock: DevmemSocket, given: Setting) -> None:
    if sock.slots:
        raise error(errno.EINVAL, "IPV6_V6ONLY after bind: set it before")
    put_field(sock, "v6only", bool(given.number))


def _number(given: Setting) -> int:
    """Options of level IPPROTO_IP take an int, one byte, or nothing, which is 0."""
    return given.number if len(given.value) >= INT.size else given.value[0] if given.value else 0


def _set_recvtos(sock: DevmemSocket, given: Setting) -> None:
    put_field(sock, "recvtos", bool(_number(given)))


def _set_mtu_discover(sock: DevmemSocket, field: str, value: int) -> None:
    if not uapi.IP_PMTUDISC_DONT <= value <= uapi.IP_PMTUDISC_OMIT:
        raise error(errno.EINVAL, f"IP_MTU_DISCOVER {value}: give 0 to 5")
    put_field(sock, field, value)


TABLE: dict[tuple[int, int], Option] = {
    (_IP, socket.IP_TOS): Option(_set_tos, field_of("tos")),
    (_IP, socket.IP_RECVTOS): Option(_set_recvtos, field_of("recvtos")),
    (_IP, uapi.IP_MTU_DISCOVER): Option(
        lambda sock, given: _set_mtu_discover(sock, "mtu_discover", _number(given)), field_of("mtu_discover")
    ),
}
TABLE_V6: dict[tuple[int, int], Option] = {
    (_IPV6, socket.IPV6_V6ONLY): Option(_set_v6only, field_of("v6only")),
    (_IPV6, uapi.IPV6_MTU_DISCOVER): Option(
        lambda sock, given: _set_mtu_discover(sock, "mtu_discover6", given.number), field_of("mtu_discover6")
    ),
    (_IPV6, socket.IPV6_TCLASS): Option(_set_tclass, field_of("tclass")),
}
