"""A SYN in, a SYN-ACK that carries all state of the handshake out; later its ACK in, the SYN's contents out.

RFC 4987 section 3.6; net/ipv4/syncookies.c. The initial sequence number is a keyed hash of flow and time that
also holds the MSS. Window scale, SACK and ECN are in the low bits of the SYN-ACK's TSval; with a peer that
sends no timestamps they are not used. Pure: only the secret is kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from nodes.tcp.config import TcpConfig
from nodes.tcp.handshake import Handshake
from nodes.tcp.segment import Segment
from nodes.tcp.seq import MASK, ts_val
from nodes.wire.tcp import CWR, ECE, SYN, TcpHeader

MSS_CHOICES = (88, 536, 1220, 1360, 1440, 1460, 4036, 8960)  # the kernel's msstab
PERIOD_S = 64.0
PERIODS_VALID = 2  # MAX_SYNCOOKIE_AGE: a cookie is valid for one to two minutes
_COUNT_SHIFT = 24  # COOKIEBITS
_LOW = (1 << _COUNT_SHIFT) - 1
_OPTION_BITS = 6  # TSBITS
_NO_WSCALE = 15
_SACK, _ECN = 1 << 4, 1 << 5


@dataclass(frozen=True, slots=True)
class CookieJar:
    """Makes and checks cookies. `secret`: 16 to 64 random bytes of this host."""

    secret: bytes

    def syn_ack(self, config: TcpConfig, syn: Segment, flow: bytes, now: float) -> Segment:
        """The SYN-ACK for `syn`; nothing need be kept of either. `flow`: both addresses and ports."""
        peer = replace(syn.header)
        if peer.ts_val is None:
            peer.wscale, peer.sack_permitted, peer.flags = None, False, SYN
        handshake = Handshake(config, now)
        options = handshake.on_syn_received(Segment(peer, None, 0, syn.ecn))
        iss = self._cookie(flow, peer.seq, _mss_index(peer.mss or 536), now)
        ports = (peer.dst_port, peer.src_port)
        answer = handshake.syn(ports, iss, peer.seq + 1, peer.ts_val or 0, now)
        if peer.ts_val is not None:
            wscale = _NO_WSCALE if peer.wscale is None else peer.wscale
            bits = wscale | _SACK * peer.sack_permitted | _ECN * options.ecn
            answer.header.ts_val = _ts_val_with(bits, now)
        return answer

    def syn_of(self, ack: TcpHeader, flow: bytes, now: float) -> tuple[TcpHeader, int] | None:
        """The SYN, as far as it matters, and our ISS, if `ack` completes a handshake that `syn_ack` answered;
        else None (cookie_v4_check)."""
        iss, irs = ack.ack - 1 & MASK, ack.seq - 1 & MASK
        mss = self._check(iss, irs, flow, now)
        if mss is None:
            return None
        syn = TcpHeader(ack.src_port, ack.dst_port, irs, 0, SYN, 0, mss=mss)
        if ack.ts_val is not None:
            bits = ack.ts_ecr & (1 << _OPTION_BITS) - 1
            wscale = bits & _NO_WSCALE
            syn.ts_val = ack.ts_val
            syn.wscale = None if wscale == _NO_WSCALE else wscale
            syn.sack_permitted = bool(bits & _SACK)
            syn.flags |= (ECE | CWR) if bits & _ECN else 0
        return syn, iss

    def _cookie(self, flow: bytes, irs: int, mss_index: int, now: float) -> int:
        count = int(now / PERIOD_S)
        low = self._hash(flow, count + 1) + mss_index & _LOW
        return self._hash(flow, 0) + irs + (count << _COUNT_SHIFT) + low & MASK

    def _check(self, iss: int, irs: int, flow: bytes, now: float) -> int | None:
        """The MSS in the cookie, or None: this host did not make the cookie, or it is too old."""
        count = int(now / PERIOD_S)
        rest = iss - self._hash(flow, 0) - irs & MASK
        age = count - (rest >> _COUNT_SHIFT) & 0xFF
        if age >= PERIODS_VALID or age > count:
            return None
        mss_index = rest - self._hash(flow, count - age + 1) & _LOW
        return MSS_CHOICES[mss_index] if mss_index < len(MSS_CHOICES) else None

    def _hash(self, flow: bytes, count: int) -> int:
        text = count.to_bytes(8, "big") + flow
        return int.from_bytes(hashlib.blake2b(text, key=self.secret, digest_size=4).digest(), "big")


def _mss_index(mss: int) -> int:
    """Index of the largest choice that is not above `mss`."""
    return max((i for i, each in enumerate(MSS_CHOICES) if each <= mss), default=0)


def _ts_val_with(bits: int, now: float) -> int:
    """A TSval with `bits` as its low bits, not later than that of `now`: timestamps must not go back
    (cookie_init_timestamp)."""
    value = ts_val(now)
    low = (1 << _OPTION_BITS) - 1
    with_bits = value & ~low | bits
    return with_bits if with_bits <= value else with_bits - low - 1 & MASK
