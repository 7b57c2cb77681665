"""What setsockopt changed of one socket. Owns the values; an accepted socket gets a copy of its listener's.

The fields of struct sock, struct inet_sock and struct tcp_sock that options set (net/core/sock.c, net/ipv4).
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.tcp.keepalive import Keepalive
from nodes.tcp.pacing import UNLIMITED
from nodes.uapi import socket as uapi
from nodes.wire.ip import HOP_LIMIT


@dataclass(slots=True)
class SocketOptions:
    """Sizes in bytes."""

    send_buffer_bytes: int = 0  # 0: as tcp_wmem has it, and it grows; else SO_SNDBUF has locked it
    receive_buffer_bytes: int = 0  # 0: as tcp_rmem has it, and it grows; else SO_RCVBUF has locked it
    congestion: str = "cubic"
    nodelay: bool = False
    zerocopy: bool = False
    rcvlowat: int = 1
    reuse_address: bool = False
    reuse_port: bool = False
    v6only: bool = False
    cork: bool = False
    keepalive: bool = False  # SO_KEEPALIVE; the next two in seconds
    keepidle: int = 7200
    keepintvl: int = 75
    keepcnt: int = 9
    user_timeout_ms: int = 0
    max_pacing_rate: int = UNLIMITED  # bytes a second
    linger: bool = False  # SO_LINGER; on with 0 s close resets
    linger_s: int = 0
    linger2_s: int = 0  # TCP_LINGER2; 0: as the sysctl has it, -1: no FIN_WAIT_2 after close
    receive_timeout_s: float | None = None  # SO_RCVTIMEO, SO_SNDTIMEO: of calls that block; None: for ever
    send_timeout_s: float | None = None
    quickack: bool = True
    inq: bool = False  # TCP_INQ
    notsent_lowat: int = 0  # TCP_NOTSENT_LOWAT, bytes; 0: no limit
    thin_linear_timeouts: bool = False
    defer_accept: int = 0  # TCP_DEFER_ACCEPT, in timeouts of the SYN-ACK: an ACK without data does not count
    save_syn: int = 0  # TCP_SAVE_SYN: children keep the headers of their SYN, with 2 from Ethernet's on
    maxseg: int = 0  # TCP_MAXSEG of the next connection; 0: as the link has it
    tos: int = 0  # IP_TOS and IPV6_TCLASS without the ECN bits
    tclass: int = 0
    ttl: int = HOP_LIMIT  # IP_TTL and IPV6_UNICAST_HOPS
    unicast_hops: int = HOP_LIMIT
    minttl: int = 0  # IP_MINTTL and IPV6_MINHOPCOUNT: packets with less are not for this socket
    minhopcount: int = 0
    recverr: bool = False  # IP_RECVERR and IPV6_RECVERR: ICMP errors are errors of the next call
    recverr6: bool = False
    recvtos: bool = False  # IP_RECVTOS: of datagrams, a stream has no such control message
    mtu_discover: int = uapi.IP_PMTUDISC_WANT  # IP_MTU_DISCOVER and IPV6_MTU_DISCOVER
    mtu_discover6: int = uapi.IP_PMTUDISC_WANT
    incoming_cpu: int = -1  # SO_INCOMING_CPU; -1: of the last packet
    broadcast: bool = False  # SO_BROADCAST, SO_OOBINLINE and SO_BUSY_POLL: nothing here looks at them
    oobinline: bool = False
    busy_poll_us: int = 0
    priority: int = 0  # SO_PRIORITY and SO_MARK: no queue and no rule here looks at them
    mark: int = 0
    bound_device: str = ""  # SO_BINDTODEVICE: the name of one of the host's devices, or ""

    def accepts_path_mtu(self, v6: bool) -> bool:
        """Whether a router's path MTU is believed (ip_sk_accept_pmtu, ip6_sk_accept_pmtu)."""
        if v6:
            return self.mtu_discover6 < uapi.IP_PMTUDISC_INTERFACE
        return uapi.IP_PMTUDISC_DONT < self.mtu_discover < uapi.IP_PMTUDISC_INTERFACE

    @property
    def dont_fragment(self) -> bool:
        """Whether packets over IPv4 have the DF flag (ip_dont_fragment)."""
        return self.mtu_discover in (uapi.IP_PMTUDISC_WANT, uapi.IP_PMTUDISC_DO)

    @property
    def keepalive_times(self) -> Keepalive | None:
        """What a connection is told: None without SO_KEEPALIVE."""
        return Keepalive(self.keepidle, self.keepintvl, self.keepcnt) if self.keepalive else None
