"""Identification of IP packets that no connected socket numbers: addresses and a protocol in, a number out.

A counter for each hash of addresses and protocol, which jumps by chance after a pause: the numbers tell
nobody how many packets others got. Owns the counters. A connected socket counts for itself, and an IPv4
packet with DF that no connected socket sends has 0. Source: ip_select_ident_segs (include/net/ip.h),
__ip_select_ident, ip_idents_reserve (net/ipv4/route.c), ipv6_select_ident (net/ipv6/output_core.c).
"""

from __future__ import annotations

import hashlib
from random import Random

_BUCKETS = 2048
_TICKS = 1000  # a second


class IpIdents:
    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._key = chance.randbytes(16)
        self._counters = dict[int, tuple[int, int]]()  # bucket -> next number, the tick of its last use

    def select_v4(self, dst: int, src: int, protocol: int, now: float) -> int:
        """16 bits that packets of this kind have not had for long."""
        data = dst.to_bytes(4, "big") + src.to_bytes(4, "big") + bytes((protocol,))
        digest = hashlib.blake2b(data, key=self._key, digest_size=4).digest()
        bucket, tick = int.from_bytes(digest, "big") % _BUCKETS, int(now * _TICKS)
        number, last = self._counters.get(bucket, (self._chance.getrandbits(16), tick))
        if tick > last:
            number += self._chance.randrange(tick - last)
        self._counters[bucket] = number + 1 & 0xFFFF, tick
        return number & 0xFFFF

    def select_v6(self) -> int:
        """32 bits by chance, not 0: of a packet that is fragmented."""
        return self._chance.randrange(1, 1 << 32)
