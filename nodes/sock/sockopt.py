"""setsockopt and getsockopt on a socket: a table of options by level and number, values as bytes.

In: a socket, an option, the bytes of a value. Out: the socket's `options` changed, and its connection told;
the bytes of a value. Owns the table. Source: sk_setsockopt, sk_getsockopt (net/core/sock.c),
do_tcp_setsockopt, do_tcp_getsockopt (net/ipv4/tcp.c); `ip_sockopt` has the options of the IP layer.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from nodes.nic.header_split import flow_of
from nodes.sock import ip_sockopt
from nodes.sock.devmem_socket import DevmemSocket, SocketOptions, error
from nodes.sock.setting import INT, Look, Setting
from nodes.sock.tcp_info import tcp_info
from nodes.tcp.config import WINDOW_MAX
from nodes.tcp.connection import Connection
from nodes.tcp.pacing import UNLIMITED
from nodes.tcp.rtt import RTO_MAX_S
from nodes.tcp.state import State
from nodes.uapi import socket as uapi

_INT, _UINT, _ULONG = INT, struct.Struct("=I"), struct.Struct("=Q")
_LINGER = struct.Struct("=ii")  # struct linger: l_onoff, l_linger
_TIMEVAL = struct.Struct("=qq")  # struct timeval: tv_sec, tv_usec
_FOREVER_S = (1 << 63) // 1000 - 1  # in jiffies, more than a long holds (sock_set_timeout)
_INT_MAX = 0x7FFFFFFF
_BUFFER_MAX = 1 << 29  # sysctl net.core.rmem_max and wmem_max; the kernel doubles what is asked for
_SEND_BUFFER_MIN, _RECEIVE_BUFFER_MIN = 4608, 2304  # SOCK_MIN_SNDBUF, SOCK_MIN_RCVBUF of a 64-bit machine
_CONGESTION = ("cubic", "reno", "dctcp")
_CONGESTION_BYTES = 16  # TCP_CA_NAME_MAX
_DEFAULT_MSS = 536
_TIMEOUTS_MAX = 255  # of TCP_DEFER_ACCEPT
_PRIORITY_FREE = 6  # higher ones are the administrator's
_SOL, _TCP, _IP, _IPV6 = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6


@dataclass(frozen=True, slots=True)
class _Option:
    """`set` is None for an option that cannot be set (ENOPROTOOPT), `get` is None for one that cannot be
    read. The result of `set` is setsockopt's; None stands for 0."""

    set: Callable[[DevmemSocket, Setting], int | None] | None
    get: Callable[[DevmemSocket, Look], bytes] | None


# --- fields of SocketOptions, and how a connection is told of them

_TELL: dict[str, Callable[[Connection, SocketOptions], None]] = {
    "cork": lambda connection, o: connection.sockopt.set_cork(o.cork),
    "nodelay": lambda connection, o: connection.sockopt.set_nodelay(o.nodelay),
    "quickack": lambda connection, o: connection.sockopt.set_quickack(o.quickack),
    "congestion": lambda connection, o: connection.sockopt.set_congestion(o.congestion),
    "keepalive": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepidle": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepintvl": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepcnt": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "user_timeout_ms": lambda connection, o: connection.sockopt.set_user_timeout(o.user_timeout_ms / 1000),
    "max_pacing_rate": lambda connection, o: connection.sockopt.set_max_pacing_rate(o.max_pacing_rate),
    "send_buffer_bytes": lambda connection, o: connection.sockopt.set_send_buffer(o.send_buffer_bytes),
    "receive_buffer_bytes": lambda connection, o: connection.sockopt.set_receive_buffer(
        min(o.receive_buffer_bytes, 2 * WINDOW_MAX)
    ),
}


def _put(sock: DevmemSocket, field: str, value: object) -> None:
    setattr(sock.options, field, value)
    tell = _TELL.get(field)
    if tell is not None and sock.connection is not None:
        tell(sock.connection, sock.options)
    sock.stack.touch(sock)


def _field(name: str) -> Callable[[DevmemSocket, Look], bytes]:
    return lambda sock, _: _INT.pack(getattr(sock.options, name))


def _flag(name: str) -> _Option:
    return _Option(lambda sock, given: _put(sock, name, bool(given.number)), _field(name))


def _number(name: str, low: int, high: int, *others: int) -> _Option:
    """A number from `low` to `high`, or one of `others`; EINVAL for any other."""

    def put(sock: DevmemSocket, given: Setting) -> None:
        number = given.number
        if not low <= number <= high and number not in others:
            or_else = "".join(f" or {other}" for other in others)
            raise error(errno.EINVAL, f"option {name} of {number}: give {low} to {high}{or_else}")
        _put(sock, name, number)

    return _Option(put, _field(name))


def _only_get(get: Callable[[DevmemSocket], int]) -> _Option:
    return _Option(None, lambda sock, _: _INT.pack(get(sock)))


def _admin(given: Setting, what: str) -> None:
    if not given.privileged:
        raise error(errno.EPERM, f"{what} needs CAP_NET_ADMIN")


# --- options that are more than a number


def _buffer(name: str, min_bytes: int, force: bool) -> _Option:
    """The kernel doubles the size that is asked for; only `force` exceeds the sysctl."""

    def put(sock: DevmemSocket, given: Setting) -> None:
        if force:
            _admin(given, "SO_RCVBUFFORCE or SO_SNDBUFFORCE")
        number = given.number
        size = min(max(0, number), _INT_MAX // 2) if force else min(number & 0xFFFFFFFF, _BUFFER_MAX)
        _put(sock, name, max(2 * size, min_bytes))

    def get(sock: DevmemSocket, _: Look) -> bytes:
        return _INT.pack(_buffer_bytes(sock, name))

    return _Option(put, None if force else get)


def _buffer_bytes(sock: DevmemSocket, name: str) -> int:
    """The size now: what was set, what the buffer has grown to, or what it will begin with."""
    size: int = getattr(sock.options, name)
    if name == "receive_buffer_bytes" and not size:
        if sock.connection is None:
            return sock.stack.tcp.tcp_rmem.default
        return sock.connection.sockopt.receive_buffer_bytes
    return size


def _set_rcvlowat(sock: DevmemSocket, given: Setting) -> None:
    wanted = given.number if given.number >= 0 else _INT_MAX
    limit = sock.options.receive_buffer_bytes or sock.stack.tcp.tcp_rmem.max
    _put(sock, "rcvlowat", max(1, min(wanted, limit // 2)))


def _timeout(name: str) -> _Option:
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
        _put(sock, name, None if forever else max(0.0, seconds + micros / 1_000_000))

    def get(sock: DevmemSocket, _: Look) -> bytes:
        micros = round((getattr(sock.options, name) or 0.0) * 1_000_000)
        return _TIMEVAL.pack(*divmod(micros, 1_000_000))

    return _Option(put, get)


def _set_linger(sock: DevmemSocket, given: Setting) -> None:
    if len(given.value) < _LINGER.size:
        raise error(errno.EINVAL, f"SO_LINGER of {len(given.value)} bytes: give struct linger's 8")
    on, seconds = _LINGER.unpack_from(given.value)
    _put(sock, "linger", bool(on))
    _put(sock, "linger_s", seconds)


def _get_linger(sock: DevmemSocket, _: Look) -> bytes:
    return _LINGER.pack(sock.options.linger, sock.options.linger_s)


def _set_pacing_rate(sock: DevmemSocket, given: Setting) -> None:
    """Bytes a second: a u64, or a u32 if the value has no room for more; the largest u32 means no limit."""
    rate = given.number & 0xFFFFFFFF
    rate = UNLIMITED if rate == 0xFFFFFFFF else rate
    if len(given.value) >= _ULONG.size:
        (rate,) = _ULONG.unpack_from(given.value)
    _put(sock, "max_pacing_rate", rate)


def _get_pacing_rate(sock: DevmemSocket, look: Look) -> bytes:
    rate = sock.options.max_pacing_rate
    return _ULONG.pack(rate) if look.length >= _ULONG.size else _UINT.pack(min(rate, 0xFFFFFFFF))


def _set_congestion(sock: DevmemSocket, given: Setting) -> None:
    if not given.value:
        raise error(errno.EINVAL, f"a congestion control without a name: {', '.join(_CONGESTION)}")
    name = given.value[: _CONGESTION_BYTES - 1].partition(b"\0")[0].decode("ascii", "replace")
    name = "reno" if name == "newreno" else name  # as RFC 6582 calls what the kernel calls reno
    if name not in _CONGESTION:
        raise error(errno.ENOENT, f"congestion control {name!r}: choose one of {', '.join(_CONGESTION)}")
    _put(sock, "congestion", name)


def _set_priority(sock: DevmemSocket, given: Setting) -> None:
    if not 0 <= given.number <= _PRIORITY_FREE:
        _admin(given, f"SO_PRIORITY {given.number}, above {_PRIORITY_FREE},")
    _put(sock, "priority", given.number)


def _set_mark(sock: DevmemSocket, given: Setting) -> None:
    _admin(given, "SO_MARK")
    _put(sock, "mark", given.number)


def _take_error(sock: DevmemSocket) -> int:
    """The pending error, else what ICMP said of the path (sk_err_soft); cleared."""
    number = sock.take_error()
    if not number:
        number, sock.soft_error = sock.soft_error, 0
    return number


def _napi_id(sock: DevmemSocket) -> int:
    """The NAPI id of the queue that receives the peer's packets, as the NIC is set up now; 0 without a
    peer."""
    if sock.peer == (0, 0) or sock.device is None:
        return 0
    rxq = sock.device.queue_of(flow_of(sock.remote, sock.local))
    return 0 if rxq is None else sock.device.first_napi_id + rxq.id


def _set_zerocopy(sock: DevmemSocket, given: Setting) -> None:
    if given.number not in (0, 1):
        raise error(errno.EINVAL, f"SO_ZEROCOPY {given.number}: give 0 or 1")
    _put(sock, "zerocopy", bool(given.number))


def _get_maxseg(sock: DevmemSocket) -> int:
    if sock.state is State.CLOSED or sock.connection is None:
        return sock.options.maxseg or _DEFAULT_MSS
    return sock.connection.info().snd_mss


def _set_defer_accept(sock: DevmemSocket, given: Setting) -> None:
    """Seconds, stored as the number of SYN-ACK timeouts that last as long (secs_to_retrans)."""
    timeouts = 0
    while timeouts < _TIMEOUTS_MAX and _lasting(timeouts) < given.number:
        timeouts += 1
    _put(sock, "defer_accept", timeouts)


def _lasting(timeouts: int) -> int:
    """The seconds that this number of SYN-ACK timeouts takes (retrans_to_secs)."""
    return sum(min(1 << n, int(RTO_MAX_S)) for n in range(timeouts))


_TABLE: dict[tuple[int, int], _Option] = {
    (_SOL, uapi.SO_DEVMEM_DONTNEED): _Option(lambda sock, given: sock.devmem_dontneed(given.value), None),
    (_SOL, uapi.SO_ZEROCOPY): _Option(_set_zerocopy, _field("zerocopy")),
    (_SOL, uapi.SO_INCOMING_NAPI_ID): _only_get(_napi_id),
    (_SOL, socket.SO_TYPE): _only_get(lambda _: socket.SOCK_STREAM),
    (_SOL, socket.SO_PROTOCOL): _only_get(lambda _: socket.IPPROTO_TCP),
    (_SOL, socket.SO_DOMAIN): _only_get(lambda sock: sock.family),
    (_SOL, socket.SO_ACCEPTCONN): _only_get(lambda sock: sock.listening),
    (_SOL, socket.SO_ERROR): _only_get(_take_error),
    (_SOL, socket.SO_REUSEADDR): _flag("reuse_address"),
    (_SOL, socket.SO_REUSEPORT): _flag("reuse_port"),
    (_SOL, socket.SO_KEEPALIVE): _flag("keepalive"),
    (_SOL, socket.SO_LINGER): _Option(_set_linger, _get_linger),
    (_SOL, uapi.SO_SNDBUF): _buffer("send_buffer_bytes", _SEND_BUFFER_MIN, force=False),
    (_SOL, uapi.SO_RCVBUF): _buffer("receive_buffer_bytes", _RECEIVE_BUFFER_MIN, force=False),
    (_SOL, uapi.SO_SNDBUFFORCE): _buffer("send_buffer_bytes", _SEND_BUFFER_MIN, force=True),
    (_SOL, uapi.SO_RCVBUFFORCE): _buffer("receive_buffer_bytes", _RECEIVE_BUFFER_MIN, force=True),
    (_SOL, uapi.SO_RCVLOWAT): _Option(_set_rcvlowat, _field("rcvlowat")),
    (_SOL, uapi.SO_RCVTIMEO): _timeout("receive_timeout_s"),
    (_SOL, uapi.SO_SNDTIMEO): _timeout("send_timeout_s"),
    (_SOL, uapi.SO_MAX_PACING_RATE): _Option(_set_pacing_rate, _get_pacing_rate),
    (_SOL, socket.SO_PRIORITY): _Option(_set_priority, _field("priority")),
    (_SOL, socket.SO_MARK): _Option(_set_mark, _field("mark")),
    (_SOL, socket.SO_BINDTODEVICE): _Option(ip_sockopt.set_device, ip_sockopt.get_device),
    (_SOL, uapi.SO_BINDTOIFINDEX): _Option(ip_sockopt.set_ifindex, ip_sockopt.get_ifindex),
    (_TCP, socket.TCP_NODELAY): _flag("nodelay"),
    (_TCP, socket.TCP_CORK): _flag("cork"),
    (_TCP, socket.TCP_QUICKACK): _flag("quickack"),
    (_TCP, socket.TCP_MAXSEG): _Option(
        _number("maxseg", 88, 32767, 0).set, lambda sock, _: _INT.pack(_get_maxseg(sock))
    ),
    (_TCP, socket.TCP_DEFER_ACCEPT): _Option(
        _set_defer_accept, lambda sock, _: _INT.pack(_lasting(sock.options.defer_accept))
    ),
    (_TCP, socket.TCP_KEEPIDLE): _number("keepidle", 1, 32767),
    (_TCP, socket.TCP_KEEPINTVL): _number("keepintvl", 1, 32767),
    (_TCP, socket.TCP_KEEPCNT): _number("keepcnt", 1, 127),
    (_TCP, socket.TCP_USER_TIMEOUT): _number("user_timeout_ms", 0, _INT_MAX),
    (_TCP, socket.TCP_INFO): _Option(None, lambda sock, look: tcp_info(sock, look.now)),
    (_TCP, uapi.TCP_CONGESTION): _Option(
        _set_congestion, lambda sock, _: sock.options.congestion.encode().ljust(_CONGESTION_BYTES, b"\0")
    ),
    (_IP, socket.IP_TOS): _Option(ip_sockopt.set_tos, _field("tos")),
    (_IP, socket.IP_TTL): _Option(ip_sockopt.set_ttl, _field("ttl")),
    (_IP, uapi.IP_MINTTL): _Option(ip_sockopt.set_minttl, _field("minttl")),
    (_IP, uapi.IP_MTU): _Option(None, ip_sockopt.get_mtu),
    (_IP, uapi.IP_RECVERR): _Option(ip_sockopt.set_recverr, _field("recverr")),
}
_TABLE_V6 = {
    **_TABLE,
    (_IPV6, socket.IPV6_V6ONLY): _Option(ip_sockopt.set_v6only, _field("v6only")),
    (_IPV6, socket.IPV6_TCLASS): _Option(ip_sockopt.set_tclass, _field("tclass")),
    (_IPV6, socket.IPV6_UNICAST_HOPS): _Option(ip_sockopt.set_unicast_hops, _field("unicast_hops")),
    (_IPV6, uapi.IPV6_MINHOPCOUNT): _Option(ip_sockopt.set_minhopcount, _field("minhopcount")),
    (_IPV6, uapi.IPV6_MTU): _Option(None, ip_sockopt.get_mtu),
    (_IPV6, uapi.IPV6_RECVERR): _flag("recverr6"),
}


def _table(sock: DevmemSocket) -> dict[tuple[int, int], _Option]:
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
    sock: DevmemSocket, level: int, option: int, length: int = _INT.size, now: float = 0.0
) -> bytes:
    """The value; where it has two forms, the one that fits `length` bytes. ENOPROTOOPT for an option that
    cannot be read, such as SO_DEVMEM_DONTNEED (table D9); EOPNOTSUPP for a level that AF_INET lacks."""
    found = _table(sock).get((level, option))
    if found is None or found.get is None:
        strange = sock.family == socket.AF_INET and level not in (_SOL, _TCP, _IP)
        number = errno.EOPNOTSUPP if strange else errno.ENOPROTOOPT
        raise error(number, f"socket option {option} at level {level} has no value to get")
    return found.get(sock, Look(length, now))
