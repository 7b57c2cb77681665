"""A connection's parts in, one record of how it fares out. Pure; owns nothing.

Names and units of `struct tcp_info` (include/uapi/linux/tcp.h); fields that the kernel counts in packets are
packets of `snd_mss` bytes here, those ending in `_us` are microseconds, in `_ms` milliseconds;
net/ipv4/tcp.c tcp_get_info.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nodes.tcp.acceptance import Acceptance
from nodes.tcp.config import TcpConfig
from nodes.tcp.congestion.control import UNLIMITED_WINDOW
from nodes.tcp.handshake import TIMESTAMP_BYTES
from nodes.tcp.pacing import UNLIMITED
from nodes.tcp.receiver import DELAYED_ACK_S
from nodes.tcp.sender import Sender
from nodes.tcp.state import State
from nodes.wire.tcp import HEADER_BYTES

INFINITE_SSTHRESH = 0x7FFFFFFF  # TCP_INFINITE_SSTHRESH: no loss was seen yet
REORDERING = 3  # sysctl tcp_reordering, duplicates that mean a loss; RACK needs no other number


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """One look at a connection, as TCP_INFO gives it."""

    state: int
    ca_state: int  # 0 open, 3 recovery, 4 loss
    retransmits: int  # timeouts since the last new acknowledgement
    probes: int
    backoff: int
    options: int  # TCPI_OPT_: 1 timestamps, 2 SACK, 4 window scale, 8 ECN
    snd_wscale: int
    rcv_wscale: int
    rto_us: int
    ato_us: int  # how long an acknowledgement may wait
    snd_mss: int
    rcv_mss: int
    unacked: int
    sacked: int
    lost: int
    retrans: int  # sent again and not yet acknowledged
    last_data_sent_ms: int  # ago, as the next two
    last_data_recv_ms: int
    last_ack_recv_ms: int
    pmtu: int
    rcv_ssthresh: int  # the most that the window may be
    advmss: int  # what a wire packet to us may carry
    reordering: int
    rtt_us: int
    rttvar_us: int
    min_rtt_us: int
    snd_cwnd: int
    snd_ssthresh: int
    total_retrans: int
    rcv_ooopack: int
    dsack_dups: int
    pacing_rate: int  # bytes a second; only with a max_pacing_rate is anything paced
    max_pacing_rate: int
    delivered: int
    delivered_ce: int
    busy_time_us: int  # something was unacknowledged
    total_rto: int
    bytes_acked: int
    bytes_received: int
    bytes_sent: int
    bytes_retrans: int
    data_segs_in: int
    data_segs_out: int
    delivery_rate: int  # bytes a second, of the last round trip
    notsent_bytes: int
    snd_wnd: int
    rcv_wnd: int
    segs_in: int
    segs_out: int
    congestion: str


def tcp_info(
    state: State, config: TcpConfig, sender: Sender, acceptance: Acceptance, now: float | None
) -> TcpInfo:
    """One look; without `now` how long ago things were is 0."""
    rtt, board, control, mss = sender.rtt, sender.board, sender.control, sender.mss
    emitter, receiver = acceptance.emitter, acceptance.receiver
    option_bytes = TIMESTAMP_BYTES * emitter.timestamps

    def packets(count: int) -> int:
        return (count + mss - 1) // mss

    def ago_ms(at: float) -> int:
        return 0 if now is None or at == -inf else max(0, int((now - at) * 1000))

    return TcpInfo(
        state=int(state),
        ca_state=int(sender.recovery.phase),
        retransmits=sender.retransmits,
        probes=sender.persist.unanswered,
        backoff=max(rtt.backoff, sender.persist.backoff),
        options=(
            emitter.timestamps
            | sender.sack_permitted << 1
            | bool(sender.snd_shift or receiver.shift) << 2
            | emitter.ecn << 3
        ),
        snd_wscale=sender.snd_shift,
        rcv_wscale=receiver.shift,
        rto_us=round(rtt.rto * 1e6),
        ato_us=round(DELAYED_ACK_S * 1e6),
        snd_mss=mss,
        rcv_mss=receiver.mss,
        unacked=packets(sender.snd_nxt - sender.snd_una),
        sacked=packets(board.sacked_bytes),
        lost=packets(board.lost_bytes),
        retrans=packets(board.resent_bytes),
        last_data_sent_ms=ago_ms(sender.last_sent_at),
        last_data_recv_ms=ago_ms(receiver.data_at),
        last_ack_recv_ms=ago_ms(acceptance.heard_at),
        pmtu=mss + option_bytes + HEADER_BYTES + config.ip_header_bytes,
        rcv_ssthresh=receiver.buffer_bytes,
        advmss=config.mss - option_bytes,
        reordering=REORDERING,
        rtt_us=round(rtt.srtt * 1e6),
        rttvar_us=round(rtt.rttvar * 1e6),
        min_rtt_us=0 if rtt.min_rtt == inf else round(rtt.min_rtt * 1e6),
        snd_cwnd=max(1, control.cwnd // mss),
        snd_ssthresh=INFINITE_SSTHRESH if control.ssthresh >= UNLIMITED_WINDOW else control.ssthresh // mss,
        total_retrans=sender.total_retrans,
        rcv_ooopack=receiver.reassembly.pieces,
        dsack_dups=sender.dsack_dups,
        pacing_rate=sender.pacing_rate,
        max_pacing_rate=UNLIMITED if sender.pacer is None else sender.pacer.most,
        delivered=packets(sender.delivered_bytes),
        delivered_ce=packets(sender.delivered_ce_bytes),
        busy_time_us=round(sender.busy_s * 1e6),
        total_rto=sender.total_rto,
        bytes_acked=sender.bytes_acked,
        bytes_received=receiver.bytes_received,
        bytes_sent=sender.bytes_sent,
        bytes_retrans=sender.bytes_retrans,
        data_segs_in=receiver.data_segs_in,
        data_segs_out=emitter.data_segs_out,
        delivery_rate=round(sender.delivery_rate),
        notsent_bytes=sender.queue.bytes,
        snd_wnd=sender.snd_wnd,
        rcv_wnd=max(0, receiver.rcv_adv - receiver.rcv_nxt),
        segs_in=receiver.segs_in,
        segs_out=emitter.segs_out,
        congestion=control.name,
    )

