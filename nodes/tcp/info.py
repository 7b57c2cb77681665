"""A connection's halves in, one record of how it fares out. Pure; owns nothing.

Names and units of `struct tcp_info` (include/uapi/linux/tcp.h); fields that the kernel counts in packets are
packets of `snd_mss` bytes here, those ending in `_us` are microseconds; net/ipv4/tcp.c tcp_get_info.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nodes.tcp.receiver import Receiver
from nodes.tcp.sender import Sender
from nodes.tcp.state import State


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One look at a connection, as TCP_INFO gives it."""

    state: int
    ca_state: int  # 0 open, 3 recovery, 4 loss
    retransmits: int  # timeouts since the last new acknowledgement
    probes: int
    backoff: int
    snd_wscale: int
    rcv_wscale: int
    rto_us: int
    snd_mss: int
    rcv_mss: int
    unacked: int
    sacked: int
    lost: int
    rtt_us: int
    rttvar_us: int
    min_rtt_us: int
    snd_cwnd: int
    snd_ssthresh: int
    total_retrans: int
    rcv_ooopack: int
    dsack_dups: int
    delivered: int
    bytes_acked: int
    bytes_received: int
    bytes_sent: int
    bytes_retrans: int
    notsent_bytes: int
    snd_wnd: int
    rcv_wnd: int
    segs_in: int
    segs_out: int
    congestion: str


def tcp_info(
    state: State, sender: Sender, receiver: Receiver, snd_wscale: int, segments: tuple[int, int]
) -> TcpInfo:
    """One look; `segments` are those received and those sent."""
    rtt, board, control, mss = sender.rtt, sender.board, sender.control, sender.mss

    def packets(count: int) -> int:
        return (count + mss - 1) // mss

    return TcpInfo(
        state=int(state),
        ca_state=int(sender.recovery.phase),
        retransmits=sender.retransmits,
        probes=sender.persist.unanswered,
        backoff=max(rtt.backoff, sender.persist.backoff),
        snd_wscale=snd_wscale,
        rcv_wscale=receiver.shift,
        rto_us=round(rtt.rto * 1e6),
        snd_mss=mss,
        rcv_mss=receiver.mss,
        unacked=packets(sender.snd_nxt - sender.snd_una),
        sacked=packets(board.sacked_bytes),
        lost=packets(board.lost_bytes),
        rtt_us=round(rtt.srtt * 1e6),
        rttvar_us=round(rtt.rttvar * 1e6),
        min_rtt_us=0 if rtt.min_rtt == inf else round(rtt.min_rtt * 1e6),
        snd_cwnd=max(1, control.cwnd // mss),
        snd_ssthresh=control.ssthresh // mss,
        total_retrans=sender.total_retrans,
        rcv_ooopack=receiver.reassembly.pieces,
        dsack_dups=sender.dsack_dups,
        delivered=packets(sender.delivered_bytes),
        bytes_acked=sender.bytes_acked,
        bytes_received=receiver.bytes_received,
        bytes_sent=sender.accepted_bytes - sender.queue.bytes + sender.bytes_retrans,
        bytes_retrans=sender.bytes_retrans,
        notsent_bytes=sender.queue.bytes,
        snd_wnd=sender.snd_wnd,
        rcv_wnd=max(0, receiver.rcv_adv - receiver.rcv_nxt),
        segs_in=segments[0],
        segs_out=segments[1],
        congestion=control.name,
    )
