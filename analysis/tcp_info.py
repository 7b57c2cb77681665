"""A row of tcp_info.csv: TCP_INFO of one connection at one moment.

In: cells. Out: a checked record. Owns the file's columns and their ranges; analysis/rows.py reads it.
"""

import msgspec

from analysis.rows import Count, Seconds

NAME = "tcp_info.csv"


class TcpInfoRow(msgspec.Struct, frozen=True):
    """A connection by which `rank` sends to `peer`, at `time_s`, Unix time. Units are in the names; segments
    are of `snd_mss_bytes`. `ssthresh_segs`: None before the first loss. `srtt_us`, `rttvar_us`: None before
    the first measurement. `total_retrans_segs`, `bytes_acked`: since the connection began."""

    path: str
    size_bytes: Count
    repetition: Count
    rank: Count
    peer: Count
    flow: Count
    time_s: Seconds
    ca_state: Count
    snd_mss_bytes: Count
    cwnd_segs: Count
    ssthresh_segs: Count | None
    srtt_us: Count | None
    rttvar_us: Count | None
    rto_us: Count
    unacked_segs: Count
    lost_segs: Count
    retrans_segs: Count
    total_retrans_segs: Count
    bytes_acked: Count
