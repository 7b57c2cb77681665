"""ICMP errors: which connection one is about, whether to believe it, and what it then means.

In: parsed errors of ICMP and ICMPv6. Out: to the connection whose packet is quoted. Owns nothing. An error is
believed only if the sequence number it quotes is in flight (RFC 5927 section 4.1): others are counted.
Source: icmp_err_convert (net/ipv4/icmp.c), tcp_v4_err, tcp_v6_err.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.snmp import IpMib
from nodes.wire.icmp import IcmpError
from nodes.wire.ip import IpHeader


class IcmpErrors:
    def __init__(
        self,
        connections: Mapping[tuple[int, int, int], DevmemSocket],
        mib: IpMib,
        changed: Callable[[DevmemSocket], None],
    ) -> None:
        self._connections = connections
        self._mib = mib
        self._changed = changed

    def receive(self, header: IpHeader, error: IcmpError, now: float) -> None:
        """Take an error that came in a packet with `header`."""
