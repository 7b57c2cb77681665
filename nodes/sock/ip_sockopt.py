"""The options of levels IPPROTO_IP and IPPROTO_IPV6.

In: a socket, the bytes of a value. Out: the socket's `options` changed; the bytes of a value. Owns the
tables. Source: do_ip_setsockopt (net/ipv4/ip_sockglue.c), do_ipv6_setsockopt (net/ipv6/ipv6_sockglue.c).
"""

from __future__ import annotations

import errno
import socket

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.option_entry import INT, Look, Option, Setting, field_of, put_field
from nodes.uapi import socket as uapi
from nodes.wire.ip import HOP_LIMIT

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


def _flag(name: str) -> Option:
    return Option(lambda sock, given: put_field(sock, name, bool(_number(given))), field_of(name))


def _set_ttl(sock: DevmemSocket, given: Setting) -> None:
    ttl = _number(given)
    if not (ttl == -1 or 1 <= ttl <= 255):
        raise error(errno.EINVAL, f"IP_TTL {ttl}: give 1 to 255, or -1 for the default")
    put_field(sock, "ttl", HOP_LIMIT if ttl == -1 else ttl)


def _set_unicast_hops(sock: DevmemSocket, given: Setting) -> None:
    if not -1 <= given.number <= 255:
        raise error(errno.EINVAL, f"IPV6_UNICAST_HOPS {given.number}: give 0 to 255, or -1 for the default")
    put_field(sock, "unicast_hops", HOP_LIMIT if given.number == -1 else given.number)


def _set_minttl(sock: DevmemSocket, given: Setting) -> None:
    if not given.value:
        raise error(errno.EINVAL, "IP_MINTTL without a value: give 0 to 255")
    _set_least(sock, "minttl", _number(given))


def _set_least(sock: DevmemSocket, field: str, number: int) -> None:
    if not 0 <= number <= 255:
        raise error(errno.EINVAL, f"option {field} of {number}: give 0 to 255")
    put_field(sock, field, number)


def _get_mtu(sock: DevmemSocket, look: Look) -> bytes:
    """Of the path to the peer, as far as it is known. ENOTCONN without a route."""
    if sock.connection is None or sock.device is None:
        raise error(errno.ENOTCONN, "the socket is not connected: it has no path")
    return INT.pack(sock.stack.path_mtu(sock, look.now))


def _set_recverr(sock: DevmemSocket, field: str, value: int) -> None:
    put_field(sock, field, bool(value))
    if not value:
        sock.errqueue.purge()


def _set_mtu_discover(sock: DevmemSocket, field: str, value: int) -> None:
    if not uapi.IP_PMTUDISC_DONT <= value <= uapi.IP_PMTUDISC_OMIT:
        raise error(errno.EINVAL, f"IP_MTU_DISCOVER {value}: give 0 to 5")
    put_field(sock, field, value)


TABLE: dict[tuple[int, int], Option] = {
    (_IP, socket.IP_TOS): Option(_set_tos, field_of("tos")),
    (_IP, socket.IP_RECVTOS): _flag("recvtos"),
    (_IP, socket.IP_TTL): Option(_set_ttl, field_of("ttl")),
    (_IP, uapi.IP_MINTTL): Option(_set_minttl, field_of("minttl")),
    (_IP, uapi.IP_MTU): Option(None, _get_mtu),
    (_IP, uapi.IP_RECVERR): Option(
        lambda sock, given: _set_recverr(sock, "recverr", _number(given)), field_of("recverr")
    ),
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
    (_IPV6, socket.IPV6_UNICAST_HOPS): Option(_set_unicast_hops, field_of("unicast_hops")),
    (_IPV6, uapi.IPV6_MINHOPCOUNT): Option(
        lambda sock, given: _set_least(sock, "minhopcount", given.number), field_of("minhopcount")
    ),
    (_IPV6, uapi.IPV6_MTU): Option(None, _get_mtu),
    (_IPV6, uapi.IPV6_RECVERR): Option(
        lambda sock, given: _set_recverr(sock, "recverr6", given.number), field_of("recverr6")
    ),
}
