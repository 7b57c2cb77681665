"""ICMP errors: which connection one is about, whether to believe it, and what it then means.

In: parsed errors of ICMP and ICMPv6, packets that found no neighbour. Out: to the connection whose packet is
quoted: a smaller path MTU, the end of an attempt to connect, or an error that is remembered (RFC 5461). Owns
the path MTUs. An error is believed only if the sequence number it quotes is in flight (RFC 5927 section 4.1).
Source: icmp_err_convert (net/ipv4/icmp.c), icmpv6_err_convert (net/ipv6/icmp.c), tcp_v4_err, tcp_v6_err.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Container, Mapping

from nodes.inet.mib import IpMib
from nodes.inet.path_mtu import PathMtus, least
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.timewait import Flow
from nodes.wire import icmp, icmpv6, ip, ipv4, ipv6
from nodes.wire.icmp import IcmpError

# By the code of "destination unreachable"; 4 is about the path's MTU.
_V4_CODES = (
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.ECONNREFUSED, 0, errno.EOPNOTSUPP,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH, errno.EHOSTUNREACH,
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.EHOSTUNREACH,
)  # fmt: skip
_V6_CODES = (
    errno.ENETUNREACH, errno.EACCES, errno.EHOSTUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED,
    errno.EACCES, errno.EACCES,
)  # fmt: skip
_PORTS_SEQ = struct.Struct("!HHI")  # all of a TCP header that an error must quote
_HOST_UNREACHABLE, _ADDRESS_UNREACHABLE = 1, 3  # codes for a neighbour that does not answer


class IcmpErrors:
    """`changed(socket)` is told whose connection was affected."""

    def __init__(
        self,
        connections: Mapping[Flow, DevmemSocket],
        time_waits: Container[Flow],
        mib: IpMib,
        changed: Callable[[DevmemSocket], None],
    ) -> None:
        self.path_mtus = PathMtus()
        self._connections = connections
        self._time_waits = time_waits
        self._mib = mib
        self._changed = changed

    def no_neighbour(self, packet: memoryview, now: float) -> None:
        """`packet`, an IP packet of ours, found nobody: what a router would tell us of it."""
        if packet[0] >> 4 == 6:
            self.receive(IcmpError(icmpv6.UNREACHABLE, _ADDRESS_UNREACHABLE, 0, packet), True, now)
        else:
            self.receive(IcmpError(icmp.UNREACHABLE, _HOST_UNREACHABLE, 0, packet), False, now)

    def receive(self, error: IcmpError, v6: bool, now: float) -> None:
        """An error of ICMPv6 (`v6`) or ICMP whose checksum is good."""
        quoted = (ipv6 if v6 else ipv4).quoted(error.quote)
        l4_bytes = len(error.quote) - quoted.l4_start if quoted is not None else 0
        if quoted is None or quoted.protocol != ip.TCP or l4_bytes < _PORTS_SEQ.size:
            self._count_useless(v6)
            return
        local_port, remote_port, seq = _PORTS_SEQ.unpack_from(error.quote, quoted.l4_start)
        flow = (local_port, quoted.dst, remote_port)
        if flow in self._time_waits:
            return  # nobody is left to tell
        sock = self._connections.get(flow)
        if sock is None or sock.connection is None or quoted.src != sock.local[0]:
            self._count_useless(v6)
        elif not self._tell(sock, error, seq, v6, now):
            self._mib.TcpExtOutOfWindowIcmps += 1

    def handle_timeout(self, now: float, link_mtu: int) -> None:
        """Where a limit is over, living connections try what the link takes (RFC 1191 section 6.3)."""
        over = self.path_mtus.expire(now)
        for sock in self._connections.values() if over else ():
            if sock.remote[0] in over and sock.connection is not None:
                sock.connection.icmp_err.on_path_mtu_expired(link_mtu)

    def _count_useless(self, v6: bool) -> None:
        if v6:
            self._mib.Icmp6InErrors += 1
        else:
            self._mib.IcmpInErrors += 1

    def _tell(self, sock: DevmemSocket, error: IcmpError, seq: int, v6: bool, now: float) -> bool:
        """Whether the connection believed it."""
        connection = sock.connection
        assert connection is not None
        too_big = (icmpv6.PACKET_TOO_BIG, 0) if v6 else (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED)
        if (error.type, error.code) == too_big:
            mtu = least(sock.remote[0], error.mtu)
            if not connection.icmp_err.on_packet_too_big(mtu, seq, now):
                return False
            self.path_mtus.learn(sock.remote[0], mtu, now)
        else:
            number = _errno(error, v6)
            if not number:
                return True
            if not connection.icmp_err.on_unreachable(number, seq):
                return False
            sock.soft_error = number
        self._changed(sock)
        return True


def _errno(error: IcmpError, v6: bool) -> int:
    """What it means to an application; 0: nothing."""
    if error.type == (icmpv6.UNREACHABLE if v6 else icmp.UNREACHABLE):
        codes = _V6_CODES if v6 else _V4_CODES
        return codes[error.code] if error.code < len(codes) else 0
    if error.type == (icmpv6.TIME_EXCEEDED if v6 else icmp.TIME_EXCEEDED):
        return errno.EHOSTUNREACH
    return errno.EPROTO if error.type == (icmpv6.PARAMETER_PROBLEM if v6 else icmp.PARAMETER_PROBLEM) else 0
