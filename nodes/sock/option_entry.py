"""What a socket option is: how a value is set, and how it is read.

In: a socket, the bytes of a value. Out: a field of the socket's `options` changed, and its connection told.
Owns nothing. The options themselves are in `sockopt`, `tcp_sockopt` and `ip_sockopt`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass

from nodes.sock.devmem_socket import DevmemSocket, error
from nodes.sock.socket_options import SocketOptions
from nodes.tcp.config import WINDOW_MAX
from nodes.tcp.connection import Connection

INT = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setsockopt: the bytes of a value, and whether the caller has CAP_NET_ADMIN."""

    value: bytes
    privileged: bool

    @property
    def number(self) -> int:
        """EINVAL for fewer than an int's bytes."""
        if len(self.value) < INT.size:
            raise error(errno.EINVAL, f"option value of {len(self.value)} bytes: give {INT.size}")
        return int(INT.unpack_from(self.value)[0])


@dataclass(frozen=True, slots=True)
class Look:
    """One getsockopt: how long the caller's buffer is, and the time."""

    length: int
    now: float


@dataclass(frozen=True, slots=True)
class Option:
    """`set` is None for an option that cannot be set (ENOPROTOOPT), `get` is None for one that cannot be
    read. The result of `set` is setsockopt's; None stands for 0."""

    set: Callable[[DevmemSocket, Setting], int | None] | None
    get: Callable[[DevmemSocket, Look], bytes] | None


# --- fields of SocketOptions, and how a connection is told of them

_TELL: dict[str, Callable[[Connection, SocketOptions], None]] = {
    "cork": lambda connection, o: connection.sockopt.set_cork(o.cork),
    "nodelay": lambda connection, o: connection.sockopt.set_nodelay(o.nodelay),
    "rcvlowat": lambda connection, o: connection.sockopt.set_rcvlowat(o.rcvlowat),
    "notsent_lowat": lambda connection, o: connection.sockopt.set_notsent_lowat(o.notsent_lowat),
    "thin_linear_timeouts": lambda connection, o: connection.sockopt.set_thin_linear_timeouts(
        o.thin_linear_timeouts
    ),
    "quickack": lambda connection, o: connection.sockopt.set_quickack(o.quickack),
    "congestion": lambda connection, o: connection.sockopt.set_congestion(o.congestion),
    "keepalive": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepidle": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepintvl": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "keepcnt": lambda connection, o: connection.sockopt.set_keepalive(o.keepalive_times),
    "linger2_s": lambda connection, o: connection.sockopt.set_linger2(o.linger2_s),
    "user_timeout_ms": lambda connection, o: connection.sockopt.set_user_timeout(o.user_timeout_ms / 1000),
    "max_pacing_rate": lambda connection, o: connection.sockopt.set_max_pacing_rate(o.max_pacing_rate),
    "send_buffer_bytes": lambda connection, o: connection.sockopt.set_send_buffer(o.send_buffer_bytes),
    "receive_buffer_bytes": lambda connection, o: connection.sockopt.set_receive_buffer(
        min(o.receive_buffer_bytes, 2 * WINDOW_MAX)
    ),
}


def put_field(sock: DevmemSocket, field: str, value: object) -> None:
    setattr(sock.options, field, value)
    tell = _TELL.get(field)
    if tell is not None and sock.connection is not None:
        tell(sock.connection, sock.options)
    sock.stack.touch(sock)


def field_of(name: str) -> Callable[[DevmemSocket, Look], bytes]:
    return lambda sock, _: INT.pack(getattr(sock.options, name))


def flag(name: str) -> Option:
    return Option(lambda sock, given: put_field(sock, name, bool(given.number)), field_of(name))


def number_option(name: str, low: int, high: int, *others: int) -> Option:
    """A number from `low` to `high`, or one of `others`; EINVAL for any other."""

    def put(sock: DevmemSocket, given: Setting) -> None:
        number = given.number
        if not low <= number <= high and number not in others:
            or_else = "".join(f" or {other}" for other in others)
            raise error(errno.EINVAL, f"option {name} of {number}: give {low} to {high}{or_else}")
        put_field(sock, name, number)

    return Option(put, field_of(name))


def only_get(get: Callable[[DevmemSocket], int]) -> Option:
    return Option(None, lambda sock, _: INT.pack(get(sock)))


def check_admin(given: Setting, what: str) -> None:
    if not given.privileged:
        raise error(errno.EPERM, f"{what} needs CAP_NET_ADMIN")
