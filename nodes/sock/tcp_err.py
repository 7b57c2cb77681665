"""ICMP errors about TCP: the connection whose packet is quoted, whether to believe the error, what it means.

In: parsed errors of ICMP and ICMPv6, also those that this host makes for a next hop that does not answer.
Out: to the connection: a smaller path MTU, the end of an attempt to connect, which the error queue tells as
well, or an error that is remembered (RFC 5461), with IP_RECVERR the error of the next call; a nearer gateway,
to the routes. Owns nothing. An error is believed only if it quotes a sequence number that is in flight
(RFC 5927 section 4.1). Source: icmp_err_convert (net/ipv4/icmp.c), icmpv6_err_convert (net/ipv6/icmp.c),
tcp_v4_err, tcp_v6_err, ip_icmp_error (net/ipv4/ip_sockglue.c), ipv6_icmp_error (net/ipv6/datagram.c).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

from nodes.inet.inet import Inet
from nodes.inet.path_mtu import bounded
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.errqueue import Event
from nodes.sock.flow import Flow
from nodes.sock.hashtables import Hashtables
from nodes.tcp.state import HANDSHAKE
from nodes.uapi.socket import SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, ExtendedErr
from nodes.wire import icmp, icmpv6, ip, ipv4, ipv6
from nodes.wire.icmp import IcmpError

# The errno of each code of "destination unreachable"; 4 is about the path MTU.
_V4_CODES = (
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.ECONNREFUSED, 0, errno.EOPNOTSUPP,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH,
)  # fmt: skip
_V6_CODES = (
    errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
    errno.EACCES, errno.EACCES,
)  # fmt: skip
_PORTS_SEQ = struct.Struct("!HHI")  # the part of a TCP header that an error must quote


class TcpErrors:
    """`changed(socket, now)` is told of the socket whose connection an error affected."""

    def __init__(
        self,
        tables: Hashtables,
        inet: Inet,
        changed: Callable[[DevmemSocket, float], None],
    ) -> None:
        self._tables = tables
        self._routes, self._path_mtus, self._mib = inet.routes, inet.path_mtus, inet.mib
        self._changed = changed

    def receive(self, error: IcmpError, v6: bool, now: float) -> None:
        """An error of ICMPv6 (`v6`) or ICMP whose checksum is good."""
        quoted = (ipv6 if v6 else ipv4).quoted(error.quote)
        l4_bytes = len(error.quote) - quoted.l4_start if quoted is not None else 0
        if quoted is None or quoted.protocol != ip.TCP or l4_bytes < _PORTS_SEQ.size:
            self._count_unusable(v6)
            return
        local_port, remote_port, seq = _PORTS_SEQ.unpack_from(error.quote, quoted.l4_start)
        flow = Flow(quoted.src, local_port, quoted.dst, remote_port)
        if flow in self._tables.timewait:
            return  # the application has closed the socket
        sock = self._tables.established.get(flow.key)
        if sock is None or sock.connection is None:
            self._count_unusable(v6)
        elif not self._tell(sock, error, seq, v6, now):
            self._mib.TcpExtOutOfWindowIcmps += 1

    def handle_timeout(self, now: float) -> None:
        """Where a path MTU has expired, connections try the link's MTU again (RFC 1191 section 6.3)."""
        expired = self._path_mtus.expire(now)
        if not expired:
            return
        for sock in self._tables.established.values():
            if sock.remote[0] in expired and sock.connection is not None and sock.device is not None:
                sock.connection.icmp_err.on_path_mtu_expired(sock.device.config.mtu)

    def _count_unusable(self, v6: bool) -> None:
        if v6:
            self._mib.Icmp6InErrors += 1
        else:
            self._mib.IcmpInErrors += 1

    def _tell(self, sock: DevmemSocket, error: IcmpError, seq: int, v6: bool, now: float) -> bool:
        """Whether the connection believed the error."""
        connection = sock.connection
        assert connection is not None
        too_big = (icmpv6.PACKET_TOO_BIG, 0) if v6 else (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED)
        if (error.type, error.code) == too_big:
            mtu, accepts = bounded(sock.remote[0], error.mtu), sock.options.accepts_path_mtu(v6)
            if not connection.icmp_err.on_packet_too_big(mtu, seq, accepts, now):
                return False
            if accepts or not v6:  # over IPv4 other sockets hear of it (tcp_v4_mtu_reduced, tcp_v6_err)
                self._path_mtus.learn(sock.remote[0], mtu, now)
        elif not v6 and error.type == icmp.REDIRECT:
            if not connection.icmp_err.is_in_flight(seq):
                return False
            self._redirect(sock, error, now)
        else:
            number, connecting = _errno(error, v6), connection.state in HANDSHAKE and not sock.in_handshake
            if not number:
                return True
            if not connection.icmp_err.on_unreachable(number, seq):
                return False
            if connecting:  # with and without IP_RECVERR, so that anyone may trace a route
                sock.errqueue.add(_event(error, number, sock.remote, v6))
            elif sock.options.recverr6 if v6 else sock.options.recverr:
                sock.pending_error = sock.pending_error or number
            else:
                sock.soft_error = number
        self._changed(sock, now)
        return True

    def _redirect(self, sock: DevmemSocket, error: IcmpError, now: float) -> None:
        """Only the gateway that the route names may redirect (sysctl accept_redirects 1, shared_media 0)."""
        route = sock.route
        if route is not None and route.gateway and route.gateway == error.reporter:
            self._routes.redirect(route, sock.remote[0], error.gateway, now)


def _event(error: IcmpError, number: int, remote: tuple[int, int], v6: bool) -> Event:
    quoted = (ipv6 if v6 else ipv4).quoted(error.quote)
    assert quoted is not None
    origin = SO_EE_ORIGIN_ICMP6 if v6 else SO_EE_ORIGIN_ICMP
    extended_err = ExtendedErr(number, origin, error.type, error.code, 0, error.mtu, 0)
    data = error.quote[quoted.l4_start :]
    return Event(extended_err, None, data, (quoted.dst, remote[1]), error.reporter)


def _errno(error: IcmpError, v6: bool) -> int:
    """The errno that an application sees; 0: none."""
    if error.type == (icmpv6.UNREACHABLE if v6 else icmp.UNREACHABLE):
        codes = _V6_CODES if v6 else _V4_CODES
        return codes[error.code] if error.code < len(codes) else 0
    if error.type == (icmpv6.TIME_EXCEEDED if v6 else icmp.TIME_EXCEEDED):
        return errno.EHOSTUNREACH
    return errno.EPROTO if error.type == (icmpv6.PARAMETER_PROBLEM if v6 else icmp.PARAMETER_PROBLEM) else 0
