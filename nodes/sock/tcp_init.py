"""What a new connection begins with: its limits, from options, route and path; its initial sequence number.

In: socket options, a route, `now`. Out: a TcpConfig; an ISS. Owns the secret of RFC 6528. Source:
tcp_init_sock, tcp_connect_init, tcp_sync_mss (net/ipv4/tcp*.c), net/core/secure_seq.c.
"""

from __future__ import annotations

import hashlib
import random

from nodes.inet.path_mtu import PathMtus
from nodes.inet.route import Route
from nodes.sock.flow import Flow
from nodes.sock.socket_options import SocketOptions
from nodes.tcp.config import WINDOW_MAX, TcpConfig
from nodes.tcp.netns import TcpNetns
from nodes.wire import ethernet, ipv6, tcp

_PACKET_MAX = 1 << 20
_HEADERS_MAX = 60 + ipv6.JUMBO_BYTES  # TCP's and a jumbo header, between the IP header and the payload
_MSS_MAX = 65495  # of the largest IPv4 packet


class ConnectionInit:
    """`ecn` is one of nodes.tcp.config.ECN_CHOICES."""

    def __init__(self, tcp: TcpNetns, path_mtus: PathMtus, secret: bytes, ecn: str) -> None:
        self._tcp = tcp
        self._path_mtus = path_mtus
        self._secret = secret
        self._ecn = ecn
        self._chance = random.Random(secret)

    def config(self, options: SocketOptions, route: Route, remote: int, now: float) -> TcpConfig:
        """For a connection to the address `remote` by `route`."""
        device, header_bytes = route.link.device, route.source.header_bytes
        mtu = self._path_mtus.limit(remote, device.config.mtu, now)
        mss = min(mtu - header_bytes - tcp.HEADER_BYTES, options.maxseg or _MSS_MAX)
        gso_max_bytes = device.config.gso_max_bytes if device.tso and device.sg else 0
        rmem, wmem = self._tcp.tcp_rmem, self._tcp.tcp_wmem
        packet_max = min(gso_max_bytes - ethernet.HEADER_BYTES, _PACKET_MAX)
        return TcpConfig(
            mss=mss,
            max_segment_bytes=max(mss, packet_max - header_bytes - _HEADERS_MAX),
            send_buffer_bytes=options.send_buffer_bytes or wmem.default,
            send_buffer_max_bytes=0 if options.send_buffer_bytes else wmem.max,
            receive_buffer_bytes=min(options.receive_buffer_bytes or rmem.default, 2 * WINDOW_MAX),
            receive_buffer_max_bytes=0 if options.receive_buffer_bytes else rmem.max,
            rcvlowat=options.rcvlowat,
            congestion=options.congestion,
            notsent_lowat=options.notsent_lowat,
            thin_linear_timeouts=options.thin_linear_timeouts,
            nodelay=options.nodelay,
            cork=options.cork,
            ecn=self._ecn,
            keepalive=options.keepalive_times,
            user_timeout_s=options.user_timeout_ms / 1000,
            linger2_s=options.linger2_s,
            ip_header_bytes=header_bytes,
            max_pacing_rate=options.max_pacing_rate,
            netns=self._tcp,
        )

    def initial_ident(self) -> int:
        """IPv4 identification of a socket's first packet."""
        return self._chance.getrandbits(16)

    def initial_sequence(self, flow: Flow, now: float) -> int:
        """RFC 6528: a clock of 4 us ticks plus a keyed hash of the flow."""
        digest = hashlib.blake2b(flow.secret_input, key=self._secret, digest_size=4).digest()
        return int.from_bytes(digest, "big") + int(now * 250_000) & 0xFFFFFFFF
