"""Socket options of the IP layer, and those that choose a device.

In: a socket, the bytes of a value. Out: the socket's `options` changed; the bytes of a value. Owns nothing:
`sockopt` has the table. Source: do_ip_setsockopt (net/ipv4/ip_sockglue.c), do_ipv6_setsockopt
(net/ipv6/ipv6_sockglue.c), sock_setbindtodevice, sock_bindtoindex (net/core/sock.c).
"""

from __future__ import annotations

import errno

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.setting import INT, Look, Setting
from nodes.wire import ip

_IFNAME_BYTES = 16  # IFNAMSIZ
_ECN_BITS = 3  # of a TOS byte; TCP's own
_PRIORITY_OF_TOS = (0, 2, 6, 4)  # by the bits for throughput and delay (RFC 1349)


# --- fields of the header


def set_tos(sock: DevmemSocket, given: Setting) -> None:
    """A value of one byte is accepted, and an empty one is 0. The ECN bits are TCP's own. The priority
    follows from the TOS (ip_tos2prio)."""
    tos = (given.value[0] if given.value else 0) & ~_ECN_BITS  # an int's first byte, its lowest
    sock.options.tos = tos
    sock.options.priority = _PRIORITY_OF_TOS[tos >> 3 & 3]


def set_tclass(sock: DevmemSocket, given: Setting) -> None:
    if not -1 <= given.number <= 0xFF:
        raise error(errno.EINVAL, f"IPV6_TCLASS {given.number}: give 0 to 255, or -1 for the default")
    sock.options.tclass = max(0, given.number) & ~_ECN_BITS


def set_ttl(sock: DevmemSocket, given: Setting) -> None:
    if not (given.byte_or_number == -1 or 1 <= given.byte_or_number <= 255):
        raise error(errno.EINVAL, f"IP_TTL {given.byte_or_number}: give 1 to 255, or -1 for the default")
    sock.options.ttl = ip.HOP_LIMIT if given.byte_or_number == -1 else given.byte_or_number


def set_unicast_hops(sock: DevmemSocket, given: Setting) -> None:
    if not -1 <= given.number <= 255:
        raise error(errno.EINVAL, f"IPV6_UNICAST_HOPS {given.number}: give 0 to 255, or -1 for the default")
    sock.options.unicast_hops = ip.HOP_LIMIT if given.number == -1 else given.number


def set_minttl(sock: DevmemSocket, given: Setting) -> None:
    sock.options.minttl = _least(given.byte_or_number, "IP_MINTTL")


def set_minhopcount(sock: DevmemSocket, given: Setting) -> None:
    sock.options.minhopcount = _least(given.number, "IPV6_MINHOPCOUNT")


def set_recverr(sock: DevmemSocket, given: Setting) -> None:
    sock.options.recverr = bool(given.byte_or_number)


def _least(number: int, what: str) -> int:
    if not 0 <= number <= 255:
        raise error(errno.EINVAL, f"{what} {number}: give 0 to 255")
    return number


def get_mtu(sock: DevmemSocket, look: Look) -> bytes:
    """IP_MTU and IPV6_MTU: of the path to the peer, as far as it is known. ENOTCONN without a route."""
    if sock.connection is None or sock.device is None:
        raise error(errno.ENOTCONN, "the socket is not connected: it has no path")
    return INT.pack(sock.stack.path_mtu(sock, look.now))


def set_v6only(sock: DevmemSocket, given: Setting) -> None:
    if sock.slots:
        raise error(errno.EINVAL, "IPV6_V6ONLY after bind: set it before")
    sock.options.v6only = bool(given.number)


# --- the device


def set_device(sock: DevmemSocket, given: Setting) -> None:
    """SO_BINDTODEVICE, by name; an empty one frees the socket. ENODEV."""
    name = given.value[: _IFNAME_BYTES - 1].partition(b"\0")[0].decode("ascii", "replace")
    names = [device.name for device in sock.stack.devices.values()]
    if name and name not in names:
        raise error(errno.ENODEV, f"no device is called {name!r}: choose one of {', '.join(names)}")
    _bind_to(sock, name, given)


def set_ifindex(sock: DevmemSocket, given: Setting) -> None:
    """SO_BINDTOIFINDEX; 0 frees the socket. EINVAL for a negative number, ENODEV."""
    ifindex, devices = given.number, sock.stack.devices
    if ifindex < 0:
        raise error(errno.EINVAL, f"SO_BINDTOIFINDEX {ifindex}: give a device's number, or 0")
    if ifindex and ifindex not in devices:
        raise error(errno.ENODEV, f"no device has number {ifindex}: choose {', '.join(map(str, devices))}")
    _bind_to(sock, devices[ifindex].name if ifindex else "", given)


def _bind_to(sock: DevmemSocket, name: str, given: Setting) -> None:
    """Anyone may bind a socket that is not bound; only the privileged free one or bind it elsewhere. The
    route is looked up again (sock_bindtoindex_locked)."""
    if sock.options.bound_device and not given.privileged:
        raise error(errno.EPERM, f"the socket is bound to {sock.options.bound_device}: that stays so")
    sock.options.bound_device = name
    sock.route = None
    sock.stack.touch(sock)


def get_device(sock: DevmemSocket, look: Look) -> bytes:
    name = sock.options.bound_device
    if name and look.length < _IFNAME_BYTES:
        raise error(errno.EINVAL, f"SO_BINDTODEVICE into {look.length} bytes: give {_IFNAME_BYTES}")
    return name.encode() + b"\0" if name else b""


def get_ifindex(sock: DevmemSocket, _: Look) -> bytes:
    name, devices = sock.options.bound_device, sock.stack.devices
    return INT.pack(next((ifindex for ifindex, each in devices.items() if each.name == name), 0))
