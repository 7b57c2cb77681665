"""The Internet checksum (RFC 1071): one's complement sums of 16-bit words. Pure; owns nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# As one integer 60 bytes take 0.2 us, 1448 bytes 3.7 us; as an array 2.1 and 2.6 us, and the import of numpy.
_SHORT_BYTES: Final = 2048


def fold(total: int) -> int:
    """Add the carries of a sum of 16-bit words to it until it has 16 bits."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def partial_sum(data: bytes | memoryview) -> int:
    """The sum of `data` as big-endian words, folded or not. An odd last byte is the high byte of a word."""
    if len(data) <= _SHORT_BYTES:
        number = int.from_bytes(data, "big") << 8 * (len(data) & 1)
        return number and (number % 0xFFFF or 0xFFFF)  # as in `pseudo_header_sum`
    import numpy as np  # a quarter of an endpoint's start, where no super-packet has to be summed

    even = len(data) & ~1
    total = int(np.frombuffer(data, ">u2", even // 2).sum(dtype=np.uint64))
    return total + (data[even] << 8 if even < len(data) else 0)


def internet_checksum(data: bytes | memoryview) -> int:
    """The value of the checksum field of `data`, in which that field is 0. 0: the checksum in `data` is
    right."""
    return ~fold(partial_sum(data)) & 0xFFFF


def pseudo_header_sum(src: int, dst: int, protocol: int, length: int) -> int:
    """The folded sum of the pseudo-header of IPv4 (RFC 9293 section 3.1) or IPv6 (RFC 8200 section 8.1),
    which is in the checksum field of a packet whose checksum the NIC fills in. Addresses are integers of 32
    or 128 bits, `length` is in bytes.

    2**16 is 1 modulo 0xFFFF, so a number of any length is congruent to the sum of its 16-bit words.
    """
    return (src + dst + protocol + length) % 0xFFFF or 0xFFFF


def sum_of_views(views: Iterable[memoryview]) -> int:
    """The folded sum of consecutive views of one packet. A view may begin at an odd byte of the packet."""
    total, odd = 0, False
    for view in views:
        part = fold(partial_sum(view))
        total += _swap(part) if odd else part
        odd ^= bool(len(view) & 1)
    return fold(total)


def _swap(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8
