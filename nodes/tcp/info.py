"""A connection's TCB in, one record of its statistics out. Pure; owns nothing.

Names and units of `struct tcp_info` (include/uapi/linux/tcp.h), net/ipv4/tcp.c tcp_get_info. Fields that the
kernel counts in packets are in packets of `snd_mss` bytes; those ending in `_us` are microseconds, in `_ms`
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from nodes.tcp.chrono import Limit
from nodes.tcp.congestion.control import UNLIMITED_WINDOW
from nodes.tcp.handshake import TIMESTAMP_BYTES
from nodes.tcp.pacing import UNLIMITED
from nodes.tcp.quick_ack import DELAYED_ACK_S
from nodes.tcp.tcb import Tcb
from nodes.wire.tcp import HEADER_BYTES

INFINITE_SSTHRESH = 0x7FFFFFFF  # TCP_INFINITE_SSTHRESH: no loss was detected yet


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A snapshot of a connection, as TCP_INFO gives it."""

    state: int
    ca_state: int  # 0 open, 3 recovery, 4 loss
    retransmits: int  # timeouts since the last new acknowledgement
    probes: int
    backoff: int
    options: int  # TCPI_OPT_: 1 timestamps, 2 SACK, 4 window scale, 8 ECN
    snd_wscale: int
    rcv_wscale: int
    rto_us: int
    ato_us: int  # how long an ACK may be delayed
    snd_mss: int
    rcv_mss: int
    unacked: int
    sacked: int
    lost: int
    retrans: int  # retransmitted and not yet acknowledged
    last_data_sent_ms: int  # how long ago, as the next two
    last_data_recv_ms: int
    last_ack_recv_ms: int
    pmtu: int
    rcv_ssthresh: int  # what the receive window may be now
    rcv_rtt_us: int  # as measured by the receiver; 0: not yet
    rcv_space: int  # what the application reads in a round trip
    advmss: int  # payload bytes that a wire packet to us may carry
    reordering: int  # packets
    reord_seen: int
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
    delivered: int  # packets, the SYN included
    delivered_ce: int
    busy_time_us: int  # while data was queued or in flight
    rwnd_limited_us: int
    sndbuf_limited_us: int
    total_rto: int
    total_rto_recoveries: int
    total_rto_time_ms: int
    bytes_acked: int
    bytes_received: int
    bytes_sent: int
    bytes_retrans: int
    data_segs_in: int
    data_segs_out: int
    delivery_rate: int  # bytes a second, in the last round trip
    notsent_bytes: int
    snd_wnd: int
    rcv_wnd: int
    segs_in: int
    segs_out: int
    congestion: str


def tcp_info(tcb: Tcb, now: float | None) -> TcpInfo:
    """The snapshot; without `now` the fields that say how long ago something was are 0."""
    # One long expression: a table of fields and where they come from.
    sender, receiver, output, ack, timer = tcb.sender, tcb.receiver, tcb.output, tcb.ack, tcb.write_timer
    rtt, board, control, mss = sender.rtt, sender.scoreboard, sender.control, sender.mss
    option_bytes = TIMESTAMP_BYTES * receiver.timestamps

    out, sacked, lost, again = board.packets(mss)

    def ago_ms(at: float) -> int:
        return 0 if now is None or at == -inf else max(0, int((now - at) * 1000))

    return TcpInfo(
        state=int(tcb.state),
        ca_state=int(sender.recovery.phase),
        retransmits=timer.retransmits,
        probes=sender.persist.probes_out,
        backoff=max(rtt.backoff, sender.persist.backoff),
        options=(
            receiver.timestamps
            | sender.sack_permitted << 1
            | bool(sender.snd_wscale or receiver.rcv_wscale) << 2
            | output.ecn << 3
        ),
        snd_wscale=sender.snd_wscale,
        rcv_wscale=receiver.rcv_wscale,
        rto_us=round(rtt.rto * 1e6),
        ato_us=round(DELAYED_ACK_S * 1e6),
        snd_mss=mss,
        rcv_mss=receiver.mss,
        unacked=out or int(tcb.handshake is not None),
        sacked=sacked,
        lost=lost,
        retrans=again,
        last_data_sent_ms=ago_ms(sender.last_sent_at),
        last_data_recv_ms=ago_ms(receiver.last_data_at),
        last_ack_recv_ms=ago_ms(tcb.validate.rcv_tstamp),
        pmtu=mss + option_bytes + HEADER_BYTES + tcb.config.ip_header_bytes,
        rcv_ssthresh=receiver.buffer.rcv_ssthresh,
        rcv_rtt_us=round(receiver.buffer.rtt_s * 1e6),
        rcv_space=receiver.buffer.rcv_space,
        advmss=tcb.config.mss - option_bytes,
        reordering=sender.recovery.reordering,
        reord_seen=sender.recovery.reord_seen,
        rtt_us=round(rtt.srtt * 1e6),
        rttvar_us=round(rtt.rttvar * 1e6),
        min_rtt_us=0 if rtt.min_rtt == inf else round(rtt.min_rtt * 1e6),
        snd_cwnd=max(1, control.cwnd // mss),
        snd_ssthresh=INFINITE_SSTHRESH if control.ssthresh >= UNLIMITED_WINDOW else control.ssthresh // mss,
        total_retrans=sender.total_retrans,
        rcv_ooopack=receiver.rcv_ooopack,
        dsack_dups=ack.dsack_dups,
        pacing_rate=sender.pacing_rate,
        max_pacing_rate=UNLIMITED if sender.pacer is None else sender.pacer.max_rate,
        delivered=board.delivered + (tcb.handshake is None),
        delivered_ce=ack.delivered_ce,
        busy_time_us=round(sender.chrono.seconds(now, Limit.BUSY, Limit.RWND, Limit.SNDBUF) * 1e6),
        rwnd_limited_us=round(sender.chrono.seconds(now, Limit.RWND) * 1e6),
        sndbuf_limited_us=round(sender.chrono.seconds(now, Limit.SNDBUF) * 1e6),
        total_rto=timer.total_rto,
        total_rto_recoveries=timer.total_rto_recoveries,
        total_rto_time_ms=round(timer.total_rto_s * 1000) + ago_ms(timer.rto_stamp),
        bytes_acked=sender.bytes_acked,
        bytes_received=receiver.bytes_received,
        bytes_sent=sender.bytes_sent,
        bytes_retrans=sender.bytes_retrans,
        data_segs_in=receiver.data_segs_in,
        data_segs_out=output.data_segs_out,
        delivery_rate=round(ack.delivery_rate),
        notsent_bytes=sender.queue.bytes,
        snd_wnd=sender.snd_wnd,
        rcv_wnd=max(0, receiver.rcv_adv - receiver.last_ack_sent),
        segs_in=receiver.segs_in,
        segs_out=output.segs_out,
        congestion=control.name,
    )

