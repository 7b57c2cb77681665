"""The Internet checksum (RFC 1071): one's complement sums of 16-bit words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def fold(total: int) -> int:
    """A sum of 16-bit words, carries added back until it fits 16 bits."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def partial_sum(data: bytes | memoryview) -> int:
    """The unfolded sum of `data` as big-endian words; an odd last byte counts as a word's first half."""
    even = len(data) & ~1
    total = int(np.frombuffer(data, ">u2", even // 2).sum(dtype=np.uint64))
    return total + (data[even] << 8 if even < len(data) else 0)


def internet_checksum(data: bytes | memoryview) -> int:
    """What goes into a header's checksum field when that field was 0 in `data`."""
    return ~fold(partial_sum(data)) & 0xFFFF


def pseudo_header_sum(src: int, dst: int, protocol: int, length: int) -> int:
    """The folded sum of the pseudo-header of IPv4 (RFC 9293 section 3.1) or IPv6 (RFC 8200 section 8.1),
    what a NIC that fills in checksums finds in the field. Addresses as 32- or 128-bit integers.

    2**16 is 1 modulo 0xFFFF, so a number of any length is congruent to the sum of its words."""
    return (src + dst + protocol + length) % 0xFFFF or 0xFFFF


def sum_of_views(views: Iterable[memoryview]) -> int:
    """The folded sum over consecutive views of one packet; a view may begin at an odd byte."""
    total, odd = 0, False
    for view in views:
        part = fold(partial_sum(view))
        total += _swap(part) if odd else part
        odd ^= bool(len(view) & 1)
    return fold(total)


def _swap(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8
