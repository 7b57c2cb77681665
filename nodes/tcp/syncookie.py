"""A SYN in, a SYN-ACK that carries all we would have remembered out; its ACK in, the SYN again out. Pure.

RFC 4987 section 3.6; net/ipv4/syncookies.c. The initial sequence number is a keyed hash of the flow and the
time with the MSS hidden in it; window scale, SACK and ECN go into the low bits of the timestamp and are
not used with a peer that sends none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from nodes.tcp.config import TcpConfig
from nodes.tcp.opening import Opening
from nodes.tcp.segment import Segment
from nodes.tcp.seq import MASK
from nodes.tcp.stamp import stamp
from nodes.wire.tcp import CWR, ECE, SYN, TcpHeader

MSS_CHOICES = (88, 536, 1220, 1360, 1440, 1460, 4036, 8960)
PERIOD_S = 64.0
PERIODS_VALID = 2  # a cookie is good for one to two minutes
_COUNT_SHIFT = 24
_LOW = (1 << _COUNT_SHIFT) - 1
_OPTION_BITS = 6
_NO_SCALE = 15
_SACK, _ECN = 1 << 4, 1 << 5


@dataclass(frozen=True, slots=True)
class CookieJar:
    """What makes and checks cookies: `secret` is 16 to 64 random bytes of the host's own."""

    secret: bytes

    def syn_ack(self, config: TcpConfig, syn: Segment, flow: bytes, now: float) -> Segment:
        """The answer to `syn`, after which nothing need be kept. `flow`: both addresses and ports."""
        peer = replace(syn.header)
        if peer.ts_val is None:
            peer.wscale, peer.sack_permitted, peer.flags = None, False, SYN
        opening = Opening(config, now)
        agreed = opening.hear(Segment(peer, None, 0, syn.ecn))
        iss = self._cookie(flow, peer.seq, _choice(peer.mss or 536), now)
        ports = (peer.dst_port, peer.src_port)
        answer = opening.segment(ports, iss, peer.seq + 1, peer.ts_val or 0, now)
        if peer.ts_val is not None:
            scale = _NO_SCALE if peer.wscale is None else peer.wscale
            bits = scale | _SACK * peer.sack_permitted | _ECN * agreed.ecn
            answer.header.ts_val = _stamp_with(bits, now)
        return answer

    def syn_of(self, ack: TcpHeader, flow: bytes, now: float) -> tuple[TcpHeader, int] | None:
        """If `ack` completes a handshake that `syn_ack` began: the SYN as far as it matters, and our ISS."""
        iss, irs = ack.ack - 1 & MASK, ack.seq - 1 & MASK
        mss = self._check(iss, irs, flow, now)
        if mss is None:
            return None
        syn = TcpHeader(ack.src_port, ack.dst_port, irs, 0, SYN, 0, mss=mss)
        if ack.ts_val is not None:
            bits = ack.ts_ecr & (1 << _OPTION_BITS) - 1
            scale = bits & _NO_SCALE
            syn.ts_val = ack.ts_val
            syn.wscale = None if scale == _NO_SCALE else scale
            syn.sack_permitted = bool(bits & _SACK)
            syn.flags |= (ECE | CWR) if bits & _ECN else 0
        return syn, iss

    def _cookie(self, flow: bytes, irs: int, choice: int, now: float) -> int:
        count = int(now / PERIOD_S)
        low = self._hash(flow, count + 1) + choice & _LOW
        return self._hash(flow, 0) + irs + (count << _COUNT_SHIFT) + low & MASK

    def _check(self, iss: int, irs: int, flow: bytes, now: float) -> int | None:
        """The MSS that the cookie holds, or None: not ours, or too old."""
        count = int(now / PERIOD_S)
        rest = iss - self._hash(flow, 0) - irs & MASK
        age = count - (rest >> _COUNT_SHIFT) & 0xFF
        if age >= PERIODS_VALID or age > count:
            return None
        choice = rest - self._hash(flow, count - age + 1) & _LOW
        return MSS_CHOICES[choice] if choice < len(MSS_CHOICES) else None

    def _hash(self, flow: bytes, count: int) -> int:
        text = count.to_bytes(8, "big") + flow
        return int.from_bytes(hashlib.blake2b(text, key=self.secret, digest_size=4).digest(), "big")


def _choice(mss: int) -> int:
    """Index of the largest choice that is not above `mss`."""
    return max((i for i, each in enumerate(MSS_CHOICES) if each <= mss), default=0)


def _stamp_with(bits: int, now: float) -> int:
    """TSval with `bits` in its low end, never later than the moment: timestamps must not go back."""
    value = stamp(now)
    low = (1 << _OPTION_BITS) - 1
    marked = value & ~low | bits
    return marked if marked <= value else marked - low - 1 & MASK
