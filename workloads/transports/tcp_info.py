"""TCP_INFO of a connection: what its congestion control and its loss recovery are doing.

In: a connected socket of any path. Out: one record. Owns nothing. Both stacks answer with the kernel's
struct, so both are read alike. Source: struct tcp_info (include/uapi/linux/tcp.h).
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from nodes.uapi import socket as uapi

INFINITE_SSTHRESH = 0x7FFFFFFF  # no loss was detected yet
_BYTES = 192  # up to and with tcpi_bytes_retrans' neighbours, which every supported kernel has
# ca_state; rto; snd_mss, unacked, lost, retrans; rtt, rttvar, snd_ssthresh, snd_cwnd; total_retrans;
# bytes_acked.
_LAYOUT = struct.Struct("=xB6x" "I4xI4xI4xII" "28x" "IIII" "16x" "I" "16x" "Q")


class TcpInfo(msgspec.Struct, frozen=True):
    """`ca_state`: 0 open, 1 disorder, 2 congestion window reduced, 3 recovery, 4 loss. Segments are of
    `snd_mss_bytes`; `retrans_segs` are those retransmitted and not yet acknowledged, `total_retrans_segs` all
    since the connection began. `ssthresh_segs`: None before the first loss. `srtt_us`: None before the first
    measurement."""

    ca_state: int
    snd_mss_bytes: int
    cwnd_segs: int
    ssthresh_segs: int | None
    srtt_us: int | None
    rttvar_us: int | None
    rto_us: int
    unacked_segs: int
    lost_segs: int
    retrans_segs: int
    total_retrans_segs: int
    bytes_acked: int


def tcp_info(sock: Any) -> TcpInfo:
    """Of a socket as socket.socket is one. Raises OSError."""
    found = sock.getsockopt(uapi.IPPROTO_TCP, uapi.TCP_INFO, _BYTES)
    state, rto, mss, unacked, lost, retrans, rtt, rttvar, ssthresh, cwnd, total, acked = _LAYOUT.unpack_from(
        found
    )
    return TcpInfo(
        ca_state=state,
        snd_mss_bytes=mss,
        cwnd_segs=cwnd,
        ssthresh_segs=ssthresh if ssthresh < INFINITE_SSTHRESH else None,
        srtt_us=rtt or None,
        rttvar_us=rttvar if rtt else None,
        rto_us=rto,
        unacked_segs=unacked,
        lost_segs=lost,
        retrans_segs=retrans,
        total_retrans_segs=total,
        bytes_acked=acked,
    )
