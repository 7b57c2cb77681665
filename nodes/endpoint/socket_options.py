"""setsockopt and getsockopt on a socket: options by level and number, values as bytes.

Source: sk_setsockopt (net/core/sock.c), do_tcp_setsockopt (net/ipv4/tcp.c).
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from nodes import uapi
from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.tcp.pacing import UNLIMITED

_INT = struct.Struct("=i")
_UINT, _ULONG = struct.Struct("=I"), struct.Struct("=Q")
_BUFFER_MIN, _BUFFER_MAX = 4096, 1 << 30
_CONGESTION = ("cubic", "newreno", "dctcp")
_LINGER = struct.Struct("=ii")  # struct linger: l_onoff, l_linger
# struct tcp_info in this order (include/uapi/linux/tcp.h); what is not measured is 0.
_TCP_INFO = struct.Struct("=8B24I4Q6IQ3Q2I2Q6IHHI")
# Options of one number each: the field of SocketOptions, and the least and the largest value of it.
_NUMBERS = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): ("keepalive", None),
    (socket.IPPROTO_TCP, socket.TCP_CORK): ("cork", None),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): ("keepidle", (1, 32767)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): ("keepintvl", (1, 32767)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): ("keepcnt", (1, 127)),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): ("user_timeout_ms", (0, 0x7FFFFFFF)),
}


def set_option(sock: DevmemSocket, level: int, option: int, value: bytes) -> int:
    """What the kernel's setsockopt returns: 0, or a count for SO_DEVMEM_DONTNEED. EINVAL, ENOPROTOOPT."""
    key = (level, option)
    if key == (uapi.SOL_SOCKET, uapi.SO_DEVMEM_DONTNEED):
        return sock.devmem_dontneed(value)
    if key == (uapi.IPPROTO_TCP, uapi.TCP_CONGESTION):
        name = value.rstrip(b"\0").decode("ascii", "replace")
        name = "newreno" if name == "reno" else name  # what the kernel calls it
        if name not in _CONGESTION:
            raise error(errno.ENOENT, f"congestion control {name!r}: choose one of {', '.join(_CONGESTION)}")
        sock.options.congestion = name
        return 0
    if len(value) < _INT.size:
        raise error(errno.EINVAL, f"option value of {len(value)} bytes: give 4")
    (number,) = _INT.unpack_from(value)
    options = sock.options
    if key in _NUMBERS:
        _set_number(sock, key, number)
        return 0
    if key == (uapi.SOL_SOCKET, uapi.SO_ZEROCOPY):
        if number not in (0, 1):
            raise error(errno.EINVAL, f"SO_ZEROCOPY {number}: give 0 or 1")
        options.zerocopy = bool(number)
    elif key == (uapi.SOL_SOCKET, uapi.SO_SNDBUF):
        options.send_buffer_bytes = min(max(number * 2, _BUFFER_MIN), _BUFFER_MAX)
    elif key == (uapi.SOL_SOCKET, uapi.SO_RCVBUF):
        options.receive_buffer_bytes = min(max(number * 2, _BUFFER_MIN), _BUFFER_MAX)
    elif key == (uapi.SOL_SOCKET, uapi.SO_RCVLOWAT):
        options.rcvlowat = max(1, number)
    elif key == (uapi.SOL_SOCKET, uapi.SO_MAX_PACING_RATE):
        options.max_pacing_rate = _pacing_rate(value)
        if sock.connection is not None:
            sock.connection.set_max_pacing_rate(options.max_pacing_rate)
            sock.inet.touch(sock)
    elif key == (socket.SOL_SOCKET, socket.SO_REUSEADDR):
        options.reuse_address = bool(number)
    elif key == (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) and sock.family == socket.AF_INET6:
        if sock.local[1]:
            raise error(errno.EINVAL, "IPV6_V6ONLY after bind: set it before")
        options.v6only = bool(number)
    elif key == (socket.SOL_SOCKET, socket.SO_LINGER):
        if len(value) < _LINGER.size:
            raise error(errno.EINVAL, f"SO_LINGER of {len(value)} bytes: give struct linger's 8")
        on, seconds = _LINGER.unpack_from(value)
        options.linger_s = seconds if on else None
    elif key == (uapi.IPPROTO_TCP, uapi.TCP_NODELAY):
        options.nodelay = bool(number)
        if sock.connection is not None:
            sock.connection.set_nodelay(options.nodelay)
            sock.inet.touch(sock)
    else:
        raise error(errno.ENOPROTOOPT, f"socket option {option} at level {level} is not implemented")
    return 0


def _pacing_rate(value: bytes) -> int:
    """Bytes a second: a u64 if there is room for one, else a u32 whose greatest means no limit."""
    if len(value) >= _ULONG.size:
        return int(_ULONG.unpack_from(value)[0])
    rate = int(_UINT.unpack_from(value)[0])
    return UNLIMITED if rate == 0xFFFFFFFF else rate


def _set_number(sock: DevmemSocket, key: tuple[int, int], number: int) -> None:
    """EINVAL for a number out of range; a living connection is told at once."""
    field, limits = _NUMBERS[key]
    if limits is None:
        setattr(sock.options, field, bool(number))
    elif not limits[0] <= number <= limits[1]:
        raise error(errno.EINVAL, f"TCP option {field} of {number}: give {limits[0]} to {limits[1]}")
    else:
        setattr(sock.options, field, number)
    connection, options = sock.connection, sock.options
    if connection is None:
        return
    if field == "cork":
        connection.set_cork(options.cork)
    elif field == "user_timeout_ms":
        connection.set_user_timeout(number / 1000)
    else:
        connection.set_keepalive(options.keepalive_times)
    sock.inet.touch(sock)


def get_option(sock: DevmemSocket, level: int, option: int, length: int = _INT.size) -> bytes:
    """A value, in the form that fits `length` bytes if it has two. ENOPROTOOPT for what has no value,
    SO_DEVMEM_DONTNEED among them (table D9)."""
    options = sock.options
    key = (level, option)
    if key == (uapi.IPPROTO_TCP, uapi.TCP_CONGESTION):
        return options.congestion.encode().ljust(16, b"\0")
    if key == (uapi.IPPROTO_TCP, uapi.TCP_INFO):
        return _tcp_info(sock)
    if key == (uapi.SOL_SOCKET, uapi.SO_MAX_PACING_RATE):
        rate = options.max_pacing_rate
        return _ULONG.pack(rate) if length >= _ULONG.size else _UINT.pack(min(rate, 0xFFFFFFFF))
    values = {
        (uapi.SOL_SOCKET, uapi.SO_ZEROCOPY): int(options.zerocopy),
        (uapi.SOL_SOCKET, uapi.SO_SNDBUF): options.send_buffer_bytes,
        (uapi.SOL_SOCKET, uapi.SO_RCVBUF): options.receive_buffer_bytes,
        (uapi.SOL_SOCKET, uapi.SO_RCVLOWAT): options.rcvlowat,
        (uapi.IPPROTO_TCP, uapi.TCP_NODELAY): int(options.nodelay),
        (socket.SOL_SOCKET, socket.SO_REUSEADDR): int(options.reuse_address),
        (socket.SOL_SOCKET, socket.SO_DOMAIN): sock.family,
        (socket.SOL_SOCKET, socket.SO_ACCEPTCONN): int(sock.backlog > 0),
    }
    if key == (uapi.SOL_SOCKET, uapi.SO_ERROR):
        return _INT.pack(sock.take_error())
    if sock.family == socket.AF_INET6:
        values[socket.IPPROTO_IPV6, socket.IPV6_V6ONLY] = int(options.v6only)
    if key in _NUMBERS:
        return _INT.pack(getattr(options, _NUMBERS[key][0]))
    if key == (socket.SOL_SOCKET, socket.SO_LINGER):
        return _LINGER.pack(options.linger_s is not None, options.linger_s or 0)
    if key not in values:
        raise error(errno.ENOPROTOOPT, f"socket option {option} at level {level} has no value to get")
    return _INT.pack(values[key])


def _tcp_info(sock: DevmemSocket) -> bytes:
    if sock.connection is None:
        raise error(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
    i = sock.connection.info()
    return _TCP_INFO.pack(
        i.state, i.ca_state, i.retransmits, i.probes, i.backoff, i.options,
        i.snd_wscale | i.rcv_wscale << 4, 0,
        i.rto_us, 0, i.snd_mss, i.rcv_mss, i.unacked, i.sacked, i.lost, i.retrans, 0,
        0, 0, 0, 0, i.pmtu, 0, i.rtt_us, i.rttvar_us, min(i.snd_ssthresh, 0x7FFFFFFF), i.snd_cwnd, i.advmss,
        0, 0, 0, i.total_retrans,
        i.pacing_rate, i.max_pacing_rate, i.bytes_acked, i.bytes_received,
        i.segs_out, i.segs_in, i.notsent_bytes, i.min_rtt_us, 0, 0,
        0, i.busy_time_us, 0, 0,
        i.delivered, i.delivered_ce, i.bytes_sent, i.bytes_retrans,
        i.dsack_dups, 0, i.rcv_ooopack, i.snd_wnd, i.rcv_wnd, 0,
        i.total_rto, 0, 0,
    )  # fmt: skip
