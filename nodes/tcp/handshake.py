"""Two SYNs in, what both agreed on out; and the SYN's own header. Pure; owns nothing.

RFC 9293 section 3.7.1 (MSS), RFC 7323 section 2 and 3, RFC 2018 section 2; net/ipv4/tcp_output.c
tcp_syn_options. What the other side did not offer is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.tcp.config import TcpConfig
from nodes.wire.tcp import ACK, CWR, ECE, TcpHeader

_DEFAULT_PEER_MSS = 536  # RFC 9293 section 3.7.1, of a peer that names none
_LEAST_PEER_MSS = 88  # tcp_min_snd_mss (48) plus our options: no peer makes us send crumbs
TIMESTAMP_BYTES = 12


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds after both SYNs were seen."""

    mss: int  # payload bytes of one wire packet, option bytes already taken off
    peer_mss: int  # and what the peer would take
    snd_shift: int
    rcv_shift: int
    timestamps: bool
    sack: bool
    ecn: bool


def window_shift(receive_buffer_bytes: int) -> int:
    """The smallest scale, at most 14, with which a window of that many bytes fits 16 bits."""
    return min(14, max(0, (receive_buffer_bytes.bit_length() - 16)))


def agree(config: TcpConfig, peer: TcpHeader, ect: bool = False) -> Agreement:
    """What our offer and the peer's SYN or SYN-ACK have in common; `ect`: it came marked for ECN."""
    timestamps = peer.ts_val is not None
    peer_mss = max(peer.mss or _DEFAULT_PEER_MSS, _LEAST_PEER_MSS) - (TIMESTAMP_BYTES if timestamps else 0)
    scaled = peer.wscale is not None
    return Agreement(
        mss=min(config.mss - (TIMESTAMP_BYTES if timestamps else 0), peer_mss),
        peer_mss=peer_mss,
        snd_shift=min(peer.wscale or 0, 14),
        rcv_shift=window_shift(config.receive_buffer_bytes) if scaled else 0,
        timestamps=timestamps,
        sack=peer.sack_permitted,
        ecn=_agree_ecn(config, peer, ect),
    )


def asks_ecn(config: TcpConfig) -> bool:
    """Whether our SYN asks for ECN; DCTCP is nothing without it."""
    return config.ecn == "ask" or config.congestion == "dctcp"


def _agree_ecn(config: TcpConfig, peer: TcpHeader, ect: bool) -> bool:
    """RFC 3168 section 6.1.1: a SYN asks with both bits, a SYN-ACK grants with ECE alone. A SYN may not be
    marked itself (only DCTCP does that); a network that marks everything is no use."""
    bits = peer.flags & (ECE | CWR)
    if peer.flags & ACK:
        return bits == ECE and asks_ecn(config)
    return bits == ECE | CWR and config.ecn != "off" and (not ect or config.congestion == "dctcp")


def offer(header: TcpHeader, config: TcpConfig, peer: TcpHeader | None, stamp: int, ts_recent: int) -> None:
    """Add the options of our SYN, or, in answer to `peer`'s, those of them that it offered."""
    header.window = min(config.receive_buffer_bytes, 65535)
    header.mss = config.mss
    header.sack_permitted = peer is None or peer.sack_permitted
    if peer is None or peer.wscale is not None:
        header.wscale = window_shift(config.receive_buffer_bytes)
    if peer is None or peer.ts_val is not None:
        header.ts_val, header.ts_ecr = stamp, ts_recent
