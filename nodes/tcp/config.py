"""What a connection is told at birth, checked. Frozen; owns nothing.

Sizes from the link (mss) and the NIC (max_segment_bytes); buffers as tcp_wmem and tcp_rmem have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.tcp.host import TcpHost
from nodes.tcp.keepalive import Keepalive
from nodes.tcp.pacing import UNLIMITED

WINDOW_MAX = 65535 << 14  # RFC 7323 section 2.3
ECN_CHOICES = ("off", "ask", "grant")  # sysctl tcp_ecn 0, 1 and 2


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Limits and choices of one connection. Raises ValueError on values no connection can work with."""

    mss: int  # announced, and the most sent in one wire packet (before the peer's MSS, minus option bytes)
    max_segment_bytes: int  # largest payload of one super-segment (TSO)
    send_buffer_bytes: int = 4 << 20
    receive_buffer_bytes: int = 6 << 20  # the window; its scale derives from it
    congestion: str = "cubic"
    nodelay: bool = True
    cork: bool = False
    ecn: str = "grant"
    keepalive: Keepalive | None = None
    user_timeout_s: float = 0.0  # TCP_USER_TIMEOUT; 0: as many retransmissions as tcp_retries2 has
    ip_header_bytes: int = 20  # what a path's MTU holds beside TCP; 40 for IPv6
    max_pacing_rate: int = UNLIMITED  # SO_MAX_PACING_RATE, bytes a second
    host: TcpHost = field(default_factory=TcpHost, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 88 <= self.mss <= 65495:
            raise ValueError(f"mss of {self.mss} bytes: choose 88 to 65495 (link MTU minus 40)")
        if self.ecn not in ECN_CHOICES:
            raise ValueError(f"ecn {self.ecn!r}: choose one of {', '.join(ECN_CHOICES)}")
        if self.max_segment_bytes < self.mss:
            raise ValueError(f"max_segment_bytes of {self.max_segment_bytes}: give at least mss, {self.mss}")
        if self.send_buffer_bytes < 1 or not 1 <= self.receive_buffer_bytes <= WINDOW_MAX:
            raise ValueError(
                f"buffers of {self.send_buffer_bytes} and {self.receive_buffer_bytes} bytes: give at least 1,"
                f" and at most {WINDOW_MAX} to receive (window scale 14)"
            )
