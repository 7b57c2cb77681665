"""SCM_TIMESTAMPING_OPT_STATS: a connection's statistics in, netlink attributes in Linux's order out. Pure.

The numbers are those of TCP_INFO, taken when the event was stamped. Source: tcp_get_timestamping_opt_stats
(net/ipv4/tcp.c), TCP_NLA_* (include/uapi/linux/tcp.h).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from nodes.tcp.info import TcpInfo

_TTL, _REHASH = 26, 27


def opt_stats(info: TcpInfo, queued: int, left_at: float, ttl: int | None = None) -> bytes:
    """`queued`: bytes that are not acknowledged, unsent ones included; `left_at`: when the packet left,
    monotonic seconds; `ttl`: of the packet that acknowledged it, None for one that was not acknowledged."""
    return b"".join(_attribute(*each) for each in _attributes(info, queued, left_at, ttl))


def _attribute(kind: int, form: str, value: int) -> bytes:
    """struct nlattr with an integer, padded to four bytes; counters wrap."""
    size = struct.calcsize(form)
    body = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return struct.pack("<HH", 4 + size, kind) + body.ljust(size + 3 & ~3, b"\0")


def _attributes(
    info: TcpInfo, queued: int, left_at: float, ttl: int | None
) -> Iterator[tuple[int, str, int]]:
    yield from (
        (1, "Q", info.busy_time_us), (2, "Q", info.rwnd_limited_us), (3, "Q", info.sndbuf_limited_us),
        (4, "Q", info.data_segs_out), (5, "Q", info.total_retrans), (6, "Q", info.pacing_rate),
        (7, "Q", info.delivery_rate), (8, "I", info.snd_cwnd), (9, "I", info.reordering),
        (10, "I", info.min_rtt_us), (11, "B", info.retransmits), (12, "B", 0),
        (15, "I", info.snd_ssthresh), (16, "I", info.delivered), (17, "I", info.delivered_ce),
        (13, "I", queued), (14, "B", info.ca_state), (18, "Q", info.bytes_sent),
        (19, "Q", info.bytes_retrans), (20, "I", info.dsack_dups), (21, "I", info.reord_seen),
        (22, "I", info.rtt_us), (23, "H", 0), (24, "I", info.notsent_bytes),
        (25, "Q", round(left_at * 1e9)),
    )  # fmt: skip
    if ttl is not None:
        yield _TTL, "B", ttl
    yield _REHASH, "I", 0
