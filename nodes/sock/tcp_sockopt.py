"""The options of level IPPROTO_TCP.

In: a socket, the bytes of a value. Out: the socket's `options` changed, and its connection told; the bytes of
a value. Owns the table. Source: do_tcp_setsockopt, do_tcp_getsockopt (net/ipv4/tcp.c).
"""

from __future__ import annotations

import errno
import socket
import struct

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.option_entry import INT, Look, Option, Setting, field_of, flag, number_option, put_field
from nodes.sock.tcp_info import tcp_info
from nodes.tcp.rtt import RTO_MAX_S
from nodes.tcp.state import State
from nodes.tcp.tcb import FIN_TIMEOUT_S
from nodes.uapi import socket as uapi

_UINT = struct.Struct("=I")
_INT_MAX = 0x7FFFFFFF
_CONGESTION = ("cubic", "reno", "dctcp")
_CONGESTION_BYTES = 16  # TCP_CA_NAME_MAX
_DEFAULT_MSS = 536
_FIN_TIMEOUT_MAX_S = 120  # TCP_FIN_TIMEOUT_MAX
_TIMEOUTS_MAX = 255  # of TCP_DEFER_ACCEPT
_TCP = socket.IPPROTO_TCP


def _set_congestion(sock: DevmemSocket, given: Setting) -> None:
    if not given.value:
        raise error(errno.EINVAL, f"a congestion control without a name: {', '.join(_CONGESTION)}")
    name = given.value[: _CONGESTION_BYTES - 1].partition(b"\0")[0].decode("ascii", "replace")
    name = "reno" if name == "newreno" else name  # as RFC 6582 calls what the kernel calls reno
    if name not in _CONGESTION:
        raise error(errno.ENOENT, f"congestion control {name!r}: choose one of {', '.join(_CONGESTION)}")
    put_field(sock, "congestion", name)


def _get_maxseg(sock: DevmemSocket) -> int:
    if sock.state is State.CLOSED or sock.connection is None:
        return sock.options.maxseg or _DEFAULT_MSS
    return sock.connection.info().snd_mss


def _set_defer_accept(sock: DevmemSocket, given: Setting) -> None:
    """Seconds, stored as the number of SYN-ACK timeouts that last as long (secs_to_retrans)."""
    timeouts = 0
    while timeouts < _TIMEOUTS_MAX and _lasting(timeouts) < given.number:
        timeouts += 1
    put_field(sock, "defer_accept", timeouts)


def _lasting(timeouts: int) -> int:
    """The seconds that this number of SYN-ACK timeouts takes (retrans_to_secs)."""
    return sum(min(1 << n, int(RTO_MAX_S)) for n in range(timeouts))



def _zero_or_one(name: str) -> Option:
    return Option(
        lambda sock, given: put_field(sock, name, bool(_bit(given, name))), field_of(name)
    )


def _bit(given: Setting, name: str) -> int:
    if given.number not in (0, 1):
        raise error(errno.EINVAL, f"{name} {given.number}: give 0 or 1")
    return given.number


def _get_saved_syn(sock: DevmemSocket, look: Look) -> bytes:
    """The headers of the SYN, once; nothing where none were saved."""
    saved = sock.saved_syn
    if look.length < len(saved):
        raise error(errno.EINVAL, f"TCP_SAVED_SYN into {look.length} bytes: give {len(saved)}")
    sock.saved_syn = b""
    return saved


def _set_thin_dupack(_: DevmemSocket, given: Setting) -> None:
    """RACK needs no threshold of duplicate ACKs: nothing is set."""
    _bit(given, "TCP_THIN_DUPACK")


TABLE: dict[tuple[int, int], Option] = {
    (_TCP, socket.TCP_NODELAY): flag("nodelay"),
    (_TCP, socket.TCP_CORK): flag("cork"),
    (_TCP, socket.TCP_QUICKACK): flag("quickack"),
    (_TCP, uapi.TCP_INQ): _zero_or_one("inq"),
    (_TCP, uapi.TCP_NOTSENT_LOWAT): Option(
        lambda sock, given: put_field(sock, "notsent_lowat", given.number & 0xFFFFFFFF),
        lambda sock, _: _UINT.pack(sock.options.notsent_lowat),
    ),
    (_TCP, uapi.TCP_THIN_LINEAR_TIMEOUTS): _zero_or_one("thin_linear_timeouts"),
    (_TCP, uapi.TCP_THIN_DUPACK): Option(_set_thin_dupack, lambda *_: INT.pack(0)),
    (_TCP, socket.TCP_MAXSEG): Option(
        number_option("maxseg", 88, 32767, 0).set, lambda sock, _: INT.pack(_get_maxseg(sock))
    ),
    (_TCP, socket.TCP_DEFER_ACCEPT): Option(
        _set_defer_accept, lambda sock, _: INT.pack(_lasting(sock.options.defer_accept))
    ),
    (_TCP, socket.TCP_KEEPIDLE): number_option("keepidle", 1, 32767),
    (_TCP, socket.TCP_KEEPINTVL): number_option("keepintvl", 1, 32767),
    (_TCP, socket.TCP_KEEPCNT): number_option("keepcnt", 1, 127),
    (_TCP, socket.TCP_USER_TIMEOUT): number_option("user_timeout_ms", 0, _INT_MAX),
    (_TCP, socket.TCP_LINGER2): Option(
        lambda sock, given: put_field(sock, "linger2_s", max(-1, min(given.number, _FIN_TIMEOUT_MAX_S))),
        lambda sock, _: INT.pack(sock.options.linger2_s or int(FIN_TIMEOUT_S)),
    ),
    (_TCP, uapi.TCP_SAVE_SYN): number_option("save_syn", 0, 2),
    (_TCP, uapi.TCP_SAVED_SYN): Option(None, _get_saved_syn),
    (_TCP, socket.TCP_INFO): Option(None, lambda sock, look: tcp_info(sock, look.now)),
    (_TCP, uapi.TCP_CONGESTION): Option(
        _set_congestion, lambda sock, _: sock.options.congestion.encode().ljust(_CONGESTION_BYTES, b"\0")
    ),
}
