"""A table of sockets as text, as `ss -tia` prints it.

In: rows of Host.sockets(). Out: lines. Owns nothing. Source: tcp_stats_print in misc/ss.c of iproute2, for
names and order; what this stack does not count is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.uapi.socket_row import SocketRow

_TITLE = ("State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port")
_UNLIMITED = 0xFFFFFFFFFFFFFFFF  # bytes a second
_SSTHRESH_MAX = 0xFFFF  # packets: infinite in effect, and ss does not show it
_COUNTS = (
    "bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out", "segs_in", "delivered",
    "unacked", "lost", "sacked", "dsack_dups", "rcv_ooopack",
)  # fmt: skip


def table(rows: Iterable[SocketRow]) -> str:
    """A line for each socket, and below it one with its TCP_INFO."""
    lines = [_columns(*_TITLE)]
    for row in rows:
        ends = [_end(*row.local), _end(*row.remote)]
        lines.append(_columns(row.state, str(row.recv_q), str(row.send_q), *ends))
        if row.info:
            lines.append("\t " + " ".join(_details(row.info)))
    return "\n".join(lines)


def _columns(state: str, recv_q: str, send_q: str, local: str, remote: str) -> str:
    return f"{state:<10} {recv_q:<8} {send_q:<8} {local:>28} {remote:>28}".rstrip()


def _end(address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{port or '*'}"


def _details(info: dict[str, int | float | str]) -> Iterable[str]:
    def ms(name: str) -> str:
        return f"{float(info[name]) / 1000:g}"

    yield str(info["congestion"])
    yield f"wscale:{info['snd_wscale']},{info['rcv_wscale']}"
    yield f"rto:{ms('rto_us')}"
    if info["backoff"]:
        yield f"backoff:{info['backoff']}"
    if info["rtt_us"]:
        yield f"rtt:{ms('rtt_us')}/{ms('rttvar_us')}"
    yield f"mss:{info['snd_mss']} rcvmss:{info['rcv_mss']} cwnd:{info['snd_cwnd']}"
    if int(info["snd_ssthresh"]) < _SSTHRESH_MAX:
        yield f"ssthresh:{info['snd_ssthresh']}"
    yield from (f"{name}:{info[name]}" for name in _COUNTS if info[name])
    if info["rtt_us"]:
        rate = int(info["snd_cwnd"]) * int(info["snd_mss"]) * 8e6 / float(info["rtt_us"])
        yield f"send {rate:.0f}bps"
    if int(info["max_pacing_rate"]) != _UNLIMITED:
        yield f"pacing_rate {8 * int(info['pacing_rate'])}bps/{8 * int(info['max_pacing_rate'])}bps"
    if info["total_retrans"]:
        yield f"retrans:{info['retransmits']}/{info['total_retrans']}"
    if info["notsent_bytes"]:
        yield f"notsent:{info['notsent_bytes']}"
    yield f"rcv_wnd:{info['rcv_wnd']} snd_wnd:{info['snd_wnd']}"
    if info["min_rtt_us"]:
        yield f"minrtt:{ms('min_rtt_us')}"
