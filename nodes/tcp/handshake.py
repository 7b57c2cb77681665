"""The peer's SYN in, our SYN or SYN-ACK and the options that both ends agreed on out. Ends with the
handshake.

RFC 9293 sections 3.5, 3.7.1 (MSS) and 3.10.7.3, RFC 7323 sections 2 and 3, RFC 2018 section 2, RFC 3168
section 6.1.1; net/ipv4/tcp_output.c tcp_syn_options, net/ipv4/tcp_timer.c tcp_retransmit_timer,
net/ipv4/inet_connection_sock.c. An option is used only if the peer's SYN had it too. Owns the retransmissions
of our SYN.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.tcp.config import TcpConfig
from nodes.tcp.receive_buffer import initial_window
from nodes.tcp.segment import CE, ECT0, Segment
from nodes.tcp.seq import MASK, ts_val
from nodes.wire.tcp import ACK, CWR, ECE, SYN, TcpHeader

SYN_RETRIES = 6  # sysctl tcp_syn_retries
SYNACK_RETRIES = 5  # sysctl tcp_synack_retries
TIMESTAMP_BYTES = 12  # of the timestamps option in every header
_DEFAULT_PEER_MSS = 536  # RFC 9293 section 3.7.1, of a peer that sends no MSS option
_MIN_PEER_MSS = 88  # tcp_min_snd_mss (48) plus option bytes: no peer makes us send tiny segments


@dataclass(frozen=True, slots=True)
class NegotiatedOptions:
    """What holds once both SYNs were seen."""

    mss: int  # payload bytes of one wire packet, option bytes already taken off
    peer_mss: int  # the same as far as the peer alone limits it
    snd_wscale: int
    rcv_wscale: int
    timestamps: bool
    sack: bool
    ecn: bool


def window_scale(receive_buffer_bytes: int) -> int:
    """The smallest scale, at most 14, with which a window of that many bytes fits 16 bits
    (tcp_select_initial_window)."""
    return min(14, max(0, (receive_buffer_bytes.bit_length() - 16)))


def negotiate(config: TcpConfig, peer: TcpHeader, ect: bool = False) -> NegotiatedOptions:
    """What our options and those of the peer's SYN or SYN-ACK give. `ect`: its IP header was ECN-capable."""
    timestamps = peer.ts_val is not None
    option_bytes = TIMESTAMP_BYTES if timestamps else 0
    peer_mss = max(peer.mss or _DEFAULT_PEER_MSS, _MIN_PEER_MSS) - option_bytes
    return NegotiatedOptions(
        mss=min(config.mss - option_bytes, peer_mss),
        peer_mss=peer_mss,
        snd_wscale=min(peer.wscale or 0, 14),
        rcv_wscale=window_scale(config.window_bytes) if peer.wscale is not None else 0,
        timestamps=timestamps,
        sack=peer.sack_permitted,
        ecn=_negotiate_ecn(config, peer, ect),
    )


def _requests_ecn(config: TcpConfig) -> bool:
    """Whether our SYN asks for ECN. DCTCP needs it."""
    return config.ecn == "ask" or config.congestion == "dctcp"


def _negotiate_ecn(config: TcpConfig, peer: TcpHeader, ect: bool) -> bool:
    """RFC 3168 section 6.1.1: a SYN asks with ECE and CWR, a SYN-ACK grants with ECE alone. A SYN that is
    ECN-capable itself was marked by the network, except for DCTCP's: such a network makes ECN useless."""
    bits = peer.flags & (ECE | CWR)
    if peer.flags & ACK:
        return bits == ECE and _requests_ecn(config)
    return bits == ECE | CWR and config.ecn != "off" and (not ect or config.congestion == "dctcp")


class Handshake:
    """`syn_due`: our SYN or SYN-ACK should leave. `peer`, `options`: None until the peer's SYN is here.
    `retries`: how often our SYN was retransmitted. Times in monotonic seconds."""

    __slots__ = ("_config", "options", "peer", "retries", "started_at", "syn_due")

    def __init__(self, config: TcpConfig, now: float) -> None:
        self._config = config
        self.started_at = now  # when our first SYN left
        self.syn_due = True
        self.retries = 0
        self.peer: TcpHeader | None = None
        self.options: NegotiatedOptions | None = None

    def on_syn_received(self, segment: Segment) -> NegotiatedOptions:
        """Take the options of the peer's SYN or SYN-ACK."""
        self.peer = segment.header
        self.options = negotiate(self._config, segment.header, ECT0 <= segment.ecn <= CE)
        return self.options

    def on_timeout(self, now: float) -> bool:
        """No answer came: retransmit. False: the retries or the user timeout are used up."""
        limit, waited = self._config.user_timeout_s, now - self.started_at
        if self.retries >= self.max_retries or (limit and waited >= limit):
            return False
        self.retries += 1
        self.syn_due = True
        return True

    @property
    def window_mss(self) -> int:
        """The segments of which our SYN's window is a multiple; timestamps are agreed on in a SYN-ACK."""
        options = self.options
        timestamps = options is not None and options.timestamps
        return self._config.mss - TIMESTAMP_BYTES * timestamps

    @property
    def max_retries(self) -> int:
        """tcp_syn_retries, or tcp_synack_retries once the peer's SYN is here."""
        return SYN_RETRIES if self.peer is None else SYNACK_RETRIES

    def timeout_s(self, rto: float, now: float) -> float:
        """Seconds until the next `on_timeout`."""
        timeout, limit = rto * (1 << self.retries), self._config.user_timeout_s
        return min(timeout, max(0.0, self.started_at + limit - now)) if limit else timeout

    def syn(self, ports: tuple[int, int], seq: int, ack: int, ts_recent: int, now: float) -> Segment:
        """Our SYN, or once the peer's SYN is here our SYN-ACK. `ports`: local, remote."""
        self.syn_due = False
        if not self.retries:
            self.started_at = now
        peer = self.peer
        header = TcpHeader(ports[0], ports[1], seq & MASK, 0, SYN, 0)
        if peer is not None:
            header.flags, header.ack = SYN | ACK, ack & MASK
            if self.options is not None and self.options.ecn and not peer.flags & ACK:
                header.flags |= ECE
        elif _requests_ecn(self._config) and not self.retries:
            header.flags |= ECE | CWR  # not in a retransmission: a path may drop SYNs that ask for ECN
        self._add_options(header, ts_recent, now)
        return Segment(header)

    def _add_options(self, header: TcpHeader, ts_recent: int, now: float) -> None:
        """The options of our SYN; in a SYN-ACK only those that the peer's SYN had (tcp_syn_options,
        tcp_synack_options)."""
        config, peer = self._config, self.peer
        header.window = initial_window(config.receive_buffer_bytes, self.window_mss)
        header.mss = config.mss
        header.sack_permitted = peer is None or peer.sack_permitted
        if peer is None or peer.wscale is not None:
            header.wscale = window_scale(config.window_bytes)
        if peer is None or peer.ts_val is not None:
            header.ts_val, header.ts_ecr = ts_val(now), ts_recent
