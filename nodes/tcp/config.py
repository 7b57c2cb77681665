"""The configuration of one connection, given when it is made and checked here. Frozen; owns nothing.

Segment sizes come from the link (mss) and the NIC (max_segment_bytes), buffer sizes from the socket (the
kernel's tcp_wmem and tcp_rmem).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.tcp.keepalive import Keepalive
from nodes.tcp.netns import TcpNetns
from nodes.tcp.pacing import UNLIMITED

WINDOW_MAX = 65535 << 14  # bytes, RFC 7323 section 2.3
ECN_CHOICES = ("off", "ask", "grant")  # sysctl tcp_ecn 0, 1 and 2


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """Limits and choices of one connection. Raises ValueError for values that no connection can work with."""

    mss: int  # bytes: announced in our SYN, and the maximum that we send in one wire packet
    max_segment_bytes: int  # largest payload of one super-segment (TSO)
    send_buffer_bytes: int = 4 << 20  # SO_SNDBUF's size
    send_buffer_max_bytes: int = 0  # tcp_wmem's maximum, to which it may grow; 0: SO_SNDBUF has locked it
    receive_buffer_bytes: int = 12 << 20  # SO_RCVBUF's size: the window is the payload's share of it
    receive_buffer_max_bytes: int = 0  # tcp_rmem's maximum, to which it may grow; 0: SO_RCVBUF has locked it
    rcvlowat: int = 1  # SO_RCVLOWAT, bytes
    congestion: str = "cubic"
    notsent_lowat: int = 0  # TCP_NOTSENT_LOWAT, bytes; 0: no limit but the send buffer
    thin_linear_timeouts: bool = False
    nodelay: bool = True
    cork: bool = False
    ecn: str = "grant"
    keepalive: Keepalive | None = None
    user_timeout_s: float = 0.0  # TCP_USER_TIMEOUT; 0: give up after tcp_retries2 retransmissions
    linger2_s: int = 0  # TCP_LINGER2: of an orphan in FIN_WAIT_2; 0: tcp_fin_timeout; below: it is reset
    ip_header_bytes: int = 20  # 40 for IPv6; a path's MTU includes it
    max_pacing_rate: int = UNLIMITED  # SO_MAX_PACING_RATE, bytes a second
    netns: TcpNetns = field(default_factory=TcpNetns, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 88 <= self.mss <= 65495:
            raise ValueError(f"mss of {self.mss} bytes: choose 88 to 65495 (link MTU minus 40)")
        if self.ecn not in ECN_CHOICES:
            raise ValueError(f"ecn {self.ecn!r}: choose one of {', '.join(ECN_CHOICES)}")
        if self.max_segment_bytes < self.mss:
            raise ValueError(f"max_segment_bytes of {self.max_segment_bytes}: give at least mss, {self.mss}")
        if self.send_buffer_bytes < 1 or not 2 <= self.receive_buffer_bytes <= 2 * WINDOW_MAX:
            raise ValueError(
                f"buffers of {self.send_buffer_bytes} and {self.receive_buffer_bytes} bytes: give at least 2,"
                f" and at most {2 * WINDOW_MAX} to receive (window scale 14)"
            )

    @property
    def window_bytes(self) -> int:
        """The bytes that our window scale must be able to express (tcp_select_initial_window)."""
        return max(self.receive_buffer_bytes // 2, self.receive_buffer_max_bytes)
