"""TCP_INFO: a socket in, struct tcp_info out, in the length of the kernel version.

The layout is that of include/uapi/linux/tcp.h; a field that is not known here is 0. A listener reports its
accept queue, a socket without a connection the values of a new socket of Linux. Owns nothing. Source:
tcp_get_info (net/ipv4/tcp.c).
"""

from __future__ import annotations

import struct
from dataclasses import asdict

from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.congestion.control import INITIAL_WINDOW_SEGMENTS
from nodes.tcp.info import INFINITE_SSTHRESH
from nodes.tcp.pacing import UNLIMITED
from nodes.tcp.recovery import REORDERING
from nodes.tcp.state import State

_TYPES = "BBBBBBBB" "IIIIIIIIIIIIIIIIIIIIIIII" "QQQQ" "IIIIII" "QQQQ" "II" "QQ" "IIIIII" "HHI"
_LAYOUT = struct.Struct("=" + _TYPES)
_MASKS = [(1 << 8 * struct.calcsize("=" + each)) - 1 for each in _TYPES]  # counters wrap
_FIELDS = (
    "state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale", "delivery_rate_app_limited",
    "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets",
    "last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv",
    "pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh", "snd_cwnd", "advmss", "reordering",
    "rcv_rtt", "rcv_space", "total_retrans",
    "pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received",
    "segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out",
    "delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited",
    "delivered", "delivered_ce", "bytes_sent", "bytes_retrans",
    "dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd", "rcv_wnd", "rehash",
    "total_rto", "total_rto_recoveries", "total_rto_time",
)  # fmt: skip
_LISTEN = 10  # TCP_LISTEN, which no connection is ever in
_ALWAYS = {"snd_cwnd": INITIAL_WINDOW_SEGMENTS, "reordering": REORDERING, "pacing_rate": UNLIMITED}
_UNCONNECTED = {
    "state": State.CLOSED, "delivery_rate_app_limited": 1, "rto": 1_000_000, "snd_mss": 536,
    "rttvar": 250_000, "snd_ssthresh": INFINITE_SSTHRESH, "min_rtt": 0xFFFFFFFF,
}  # fmt: skip


def tcp_info(sock: DevmemSocket, now: float) -> bytes:
    """Of any socket, connected or not."""
    known: dict[str, int] = {**_ALWAYS, "max_pacing_rate": sock.options.max_pacing_rate}
    if sock.listening:
        known |= {"state": _LISTEN, "unacked": len(sock.accept_queue), "sacked": sock.backlog}
    elif sock.connection is None:
        known |= _UNCONNECTED
    else:
        info = sock.connection.info(now)
        known |= {
            name.removesuffix("_us").removesuffix("_ms"): value
            for name, value in asdict(info).items()
            if isinstance(value, int)
        }
        known |= {"state": sock.state, "wscale": info.snd_wscale | info.rcv_wscale << 4}
    values = (known.get(name, 0) & mask for name, mask in zip(_FIELDS, _MASKS, strict=True))
    return _LAYOUT.pack(*values).ljust(sock.stack.kernel.tcp_info_bytes, b"\0")
