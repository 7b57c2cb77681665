"""setsockopt and getsockopt on a socket: a table of options by level and number, values as bytes.

In: a socket, an option, the bytes of a value. Out: the socket's `options` changed, and its connection told;
the bytes of a value. Owns the table. Source: sk_setsockopt, sk_getsockopt (net/core/sock.c),
tcp_setsockopt, ip_setsockopt and ipv6_setsockopt by level.
"""

from __future__ import annotations

import errno
import socket
import struct

from nodes.nic.header_split import flow_of
from nodes.sock import ip_sockopt, tcp_sockopt
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.option_entry import (
    INT,
    Look,
    Option,
    Setting,
    check_admin,
    field_of,
    flag,
    only_get,
    put_field,
)
from nodes.tcp.pacing import UNLIMITED
from nodes.tcp.state import State
from nodes.uapi import socket as uapi

_UINT, _ULONG = struct.Struct("=I"), struct.Struct("=Q")
_LINGER = struct.Struct("=ii")  # struct linger: l_onoff, l_linger
_TIMEVAL = struct.Struct("=qq")  # struct timeval: tv_sec, tv_usec
_FOREVER_S = (1 << 63) // 1000 - 1  # in jiffies, more than a long holds (sock_set_timeout)
_INT_MAX = 0x7FFFFFFF
_BUFFER_MAX = 1 << 29  # sysctl net.core.rmem_max and wmem_max; the kernel doubles what is asked for
_SEND_BUFFER_MIN, _RECEIVE_BUFFER_MIN = 4608, 2304  # SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF of a 64-bit machine
_IFNAME_BYTES = 16  # IFNAMSIZ
_PRIORITY_FREE = 6  # higher ones are the administrator's
_SOL, _TCP, _IP = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP


def _buffer(name: str, min_bytes: int, force: bool) -> Option:
    """The kernel doubles the size that is asked for; only `force` exceeds the sysctl."""

    def put(sock: DevmemSocket, given: Setting) -> None:
        if force:
            check_admin(given, "SO_RCVBUFFORCE or SO_SNDBUFFORCE")
        number = given.number
        size = min(max(0, number), _INT_MAX // 2) if force else min(number & 0xFFFFFFFF, _BUFFER_MAX)
        put_field(sock, name, max(2 * size, min_bytes))

    def get(sock: DevmemSocket, _: Look) -> bytes:
        return INT.pack(_buffer_bytes(sock, name))

    return Option(put, None if force else get)


def _buffer_bytes(sock: DevmemSocket, name: str) -> int:
    """The size now: what was set, what the buffer has grown to, or what it will begin with."""
    size: int = getattr(sock.options, name)
    if size:
        return size
    if sock.connection is None:
        tcp = sock.stack.tcp
        return (tcp.tcp_rmem if name == "receive_buffer_bytes" else tcp.tcp_wmem).default
    grown: int = getattr(sock.connection.sockopt, name)
    return grown


def _set_rcvlowat(sock: DevmemSocket, given: Setting) -> None:
    wanted = given.number if given.number >= 0 else _INT_MAX
    limit = sock.options.receive_buffer_bytes or sock.stack.tcp.tcp_rmem.max
    put_field(sock, "rcvlowat", max(1, min(wanted, limit // 2)))


def _timeout(name: str) -> Option:
    """struct timeval. 0, and more seconds than the kernel can count, mean no timeout; a negative number means
    not to wait. EDOM for microseconds outside 0 to 999999."""

    def put(sock: DevmemSocket, given: Setting) -> None:
        if len(given.value) < _TIMEVAL.size:
            size = len(given.value)
            raise error(errno.EINVAL, f"timeout of {size} bytes: give struct timeval's {_TIMEVAL.size}")
        seconds, micros = _TIMEVAL.unpack_from(given.value)
        if not 0 <= micros < 1_000_000:
            raise error(errno.EDOM, f"timeout of {micros} microseconds: give 0 to 999999, and whole seconds")
        forever = seconds == micros == 0 or seconds >= _FOREVER_S
        put_field(sock, name, None if forever else max(0.0, seconds + micros / 1_000_000))

    def get(sock: DevmemSocket, _: Look) -> bytes:
        micros = round((getattr(sock.options, name) or 0.0) * 1_000_000)
        return _TIMEVAL.pack(*divmod(micros, 1_000_000))

    return Option(put, get)


def _set_linger(sock: DevmemSocket, given: Setting) -> None:
    if len(given.value) < _LINGER.size:
        raise error(errno.EINVAL, f"SO_LINGER of {len(given.value)} bytes: give struct linger's 8")
    on, seconds = _LINGER.unpack_from(given.value)
    put_field(sock, "linger", bool(on))
    put_field(sock, "linger_s", seconds)


def _get_linger(sock: DevmemSocket, _: Look) -> bytes:
    return _LINGER.pack(sock.options.linger, sock.options.linger_s)


def _set_pacing_rate(sock: DevmemSocket, given: Setting) -> None:
    """Bytes a second: a u64, or a u32 if the value has no room for more; the largest u32 means no limit."""
    rate = given.number & 0xFFFFFFFF
    rate = UNLIMITED if rate == 0xFFFFFFFF else rate
    if len(given.value) >= _ULONG.size:
        (rate,) = _ULONG.unpack_from(given.value)
    put_field(sock, "max_pacing_rate", rate)


def _get_pacing_rate(sock: DevmemSocket, look: Look) -> bytes:
    rate = sock.options.max_pacing_rate
    return _ULONG.pack(rate) if look.length >= _ULONG.size else _UINT.pack(min(rate, 0xFFFFFFFF))


def _set_priority(sock: DevmemSocket, given: Setting) -> None:
    if not 0 <= given.number <= _PRIORITY_FREE:
        check_admin(given, f"SO_PRIORITY {given.number}, above {_PRIORITY_FREE},")
    put_field(sock, "priority", given.number)


def _set_mark(sock: DevmemSocket, given: Setting) -> None:
    check_admin(given, "SO_MARK")
    put_field(sock, "mark", given.number)


def _set_device(sock: DevmemSocket, given: Setting) -> None:
    """By name; an empty one frees the socket. ENODEV."""
    name = given.value[: _IFNAME_BYTES - 1].partition(b"\0")[0].decode("ascii", "replace")
    names = [device.name for device in sock.stack.devices.values()]
    if name and name not in names:
        raise error(errno.ENODEV, f"no device is called {name!r}: choose one of {', '.join(names)}")
    _bind_to(sock, name, given)


def _set_ifindex(sock: DevmemSocket, given: Setting) -> None:
    """0 frees the socket. EINVAL for a negative number, ENODEV."""
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
    sock.route = None
    put_field(sock, "bound_device", name)


def _get_device(sock: DevmemSocket, look: Look) -> bytes:
    name = sock.options.bound_device
    if name and look.length < _IFNAME_BYTES:
        raise error(errno.EINVAL, f"SO_BINDTODEVICE into {look.length} bytes: give {_IFNAME_BYTES}")
    return name.encode() + b"\0" if name else b""


def _ifindex(sock: DevmemSocket) -> int:
    name, devices = sock.options.bound_device, sock.stack.devices
    return next((ifindex for ifindex, each in devices.items() if each.name == name), 0)


def _take_error(sock: DevmemSocket) -> int:
    """The pending error, else what ICMP said of the path (sk_err_soft); cleared."""
    number = sock.take_error()
    if not number:
        number, sock.soft_error = sock.soft_error, 0
    return number


def _sharing(name: str) -> Option:
    def put(sock: DevmemSocket, given: Setting) -> None:
        put_field(sock, name, bool(given.number))
        sock.stack.ports.renew_terms(sock)

    return Option(put, field_of(name))


def _set_busy_poll(sock: DevmemSocket, given: Setting) -> None:
    """Only the privileged may poll for longer than before."""
    if given.number > sock.options.busy_poll_us:
        check_admin(given, f"SO_BUSY_POLL {given.number}, more than {sock.options.busy_poll_us},")
    if given.number < 0:
        raise error(errno.EINVAL, f"SO_BUSY_POLL {given.number}: give microseconds, or 0")
    put_field(sock, "busy_poll_us", given.number)


def _napi_id(sock: DevmemSocket) -> int:
    """The NAPI id of the queue that receives the peer's packets, as the NIC is set up now; 0 without a
    peer."""
    if sock.peer == (0, 0) or sock.device is None:
        return 0
    rxq = sock.device.queue_of(flow_of(sock.remote, sock.local))
    return 0 if rxq is None else sock.device.first_napi_id + rxq.id


def _incoming_cpu(sock: DevmemSocket) -> int:
    """What was set; else the one CPU of the endpoint once packets have come."""
    return sock.options.incoming_cpu if sock.peer == (0, 0) else max(0, sock.options.incoming_cpu)


def _set_timestamping(sock: DevmemSocket, given: Setting) -> None:
    """An int, or struct so_timestamping. There is no clock in hardware."""
    flags, stamps = given.number & 0xFFFFFFFF, sock.timestamping
    refused = ~uapi.SOF_TIMESTAMPING_MASK | uapi.SOF_TIMESTAMPING_BIND_PHC
    by_write = bool(flags & uapi.SOF_TIMESTAMPING_OPT_ID_TCP)
    keyed = bool(flags & uapi.SOF_TIMESTAMPING_OPT_ID)
    if flags & refused or (by_write and not keyed):
        raise error(errno.EINVAL, f"SO_TIMESTAMPING {flags:#x}: unknown flags, or OPT_ID_TCP without OPT_ID")
    if flags & uapi.SOF_TIMESTAMPING_OPT_STATS and not flags & uapi.SOF_TIMESTAMPING_OPT_TSONLY:
        raise error(errno.EINVAL, f"SO_TIMESTAMPING {flags:#x}: OPT_STATS without OPT_TSONLY")
    if keyed and not stamps.flags & uapi.SOF_TIMESTAMPING_OPT_ID:
        connection = sock.connection
        if connection is None or sock.listening or sock.state is State.CLOSED:
            raise error(errno.EINVAL, "SOF_TIMESTAMPING_OPT_ID counts a connection's bytes: connect first")
        stamps.key = sock.bytes_sent if by_write else connection.bytes_acked
    stamps.flags = flags


def _get_timestamping(sock: DevmemSocket, look: Look) -> bytes:
    return struct.pack("=II", sock.timestamping.flags, 0)[: max(0, look.length)]


def _set_zerocopy(sock: DevmemSocket, given: Setting) -> None:
    if given.number not in (0, 1):
        raise error(errno.EINVAL, f"SO_ZEROCOPY {given.number}: give 0 or 1")
    put_field(sock, "zerocopy", bool(given.number))


_TABLE: dict[tuple[int, int], Option] = {
    (_SOL, uapi.SO_DEVMEM_DONTNEED): Option(lambda sock, given: sock.devmem_dontneed(given.value), None),
    (_SOL, uapi.SO_ZEROCOPY): Option(_set_zerocopy, field_of("zerocopy")),
    (_SOL, uapi.SO_INCOMING_NAPI_ID): only_get(_napi_id),
    (_SOL, uapi.SO_TIMESTAMPING): Option(_set_timestamping, _get_timestamping),
    (_SOL, uapi.SO_INCOMING_CPU): Option(
        lambda sock, given: put_field(sock, "incoming_cpu", given.number),
        lambda sock, _: INT.pack(_incoming_cpu(sock)),
    ),
    (_SOL, socket.SO_TYPE): only_get(lambda _: socket.SOCK_STREAM),
    (_SOL, socket.SO_PROTOCOL): only_get(lambda _: socket.IPPROTO_TCP),
    (_SOL, socket.SO_DOMAIN): only_get(lambda sock: sock.family),
    (_SOL, socket.SO_ACCEPTCONN): only_get(lambda sock: sock.listening),
    (_SOL, socket.SO_ERROR): only_get(_take_error),
    (_SOL, socket.SO_REUSEADDR): _sharing("reuse_address"),
    (_SOL, socket.SO_REUSEPORT): _sharing("reuse_port"),
    (_SOL, socket.SO_KEEPALIVE): flag("keepalive"),
    (_SOL, socket.SO_BROADCAST): flag("broadcast"),
    (_SOL, socket.SO_OOBINLINE): flag("oobinline"),
    (_SOL, uapi.SO_BUSY_POLL): Option(_set_busy_poll, field_of("busy_poll_us")),
    (_SOL, socket.SO_LINGER): Option(_set_linger, _get_linger),
    (_SOL, uapi.SO_SNDBUF): _buffer("send_buffer_bytes", _SEND_BUFFER_MIN, force=False),
    (_SOL, uapi.SO_RCVBUF): _buffer("receive_buffer_bytes", _RECEIVE_BUFFER_MIN, force=False),
    (_SOL, uapi.SO_SNDBUFFORCE): _buffer("send_buffer_bytes", _SEND_BUFFER_MIN, force=True),
    (_SOL, uapi.SO_RCVBUFFORCE): _buffer("receive_buffer_bytes", _RECEIVE_BUFFER_MIN, force=True),
    (_SOL, uapi.SO_RCVLOWAT): Option(_set_rcvlowat, field_of("rcvlowat")),
    (_SOL, uapi.SO_RCVTIMEO): _timeout("receive_timeout_s"),
    (_SOL, uapi.SO_SNDTIMEO): _timeout("send_timeout_s"),
    (_SOL, uapi.SO_MAX_PACING_RATE): Option(_set_pacing_rate, _get_pacing_rate),
    (_SOL, socket.SO_PRIORITY): Option(_set_priority, field_of("priority")),
    (_SOL, socket.SO_MARK): Option(_set_mark, field_of("mark")),
    (_SOL, socket.SO_BINDTODEVICE): Option(_set_device, _get_device),
    (_SOL, uapi.SO_BINDTOIFINDEX): Option(_set_ifindex, lambda sock, _: INT.pack(_ifindex(sock))),
}
_TABLE |= tcp_sockopt.TABLE | ip_sockopt.TABLE
_TABLE_V6 = _TABLE | ip_sockopt.TABLE_V6


def _table(sock: DevmemSocket) -> dict[tuple[int, int], Option]:
    return _TABLE_V6 if sock.family == socket.AF_INET6 else _TABLE


def set_option(sock: DevmemSocket, level: int, option: int, value: bytes, privileged: bool = False) -> int:
    """What the kernel's setsockopt returns: 0, or a count for SO_DEVMEM_DONTNEED. EINVAL, ENOPROTOOPT, EPERM
    for what needs CAP_NET_ADMIN and the caller is not `privileged`."""
    found, given = _table(sock).get((level, option)), Setting(value, privileged)
    if found is None or found.set is None:
        if level != _IP:  # do_ip_setsockopt takes short values
            _ = given.number  # too short a value is noticed first
        raise error(errno.ENOPROTOOPT, f"socket option {option} at level {level} cannot be set here")
    return found.set(sock, given) or 0


def get_option(
    sock: DevmemSocket, level: int, option: int, length: int = INT.size, now: float = 0.0
) -> bytes:
    """The value; where it has two forms, the one that fits `length` bytes. ENOPROTOOPT for an option that
    cannot be read, such as SO_DEVMEM_DONTNEED (table D9); EOPNOTSUPP for a level that AF_INET lacks."""
    found = _table(sock).get((level, option))
    if found is None or found.get is None:
        strange = sock.family == socket.AF_INET and level not in (_SOL, _TCP, _IP)
        number = errno.EOPNOTSUPP if strange else errno.ENOPROTOOPT
        raise error(number, f"socket option {option} at level {level} has no value to get")
    value = found.get(sock, Look(length, now))
    if level == _IP and length < INT.size and not any(value[1:]):
        return value[:1]  # do_ip_getsockopt: what fits a byte is a byte where there is no room for an int
    return value
