"""Sequence numbers: 32 bits on the wire in and out, unwrapped integers inside. Pure; owns nothing.

RFC 9293 section 3.4. A connection counts on without wrapping, so that everywhere else a plain `<` is
right; only the edge (parsing, emitting) knows that the wire has 32 bits.
"""

from __future__ import annotations

MASK = 0xFFFFFFFF
HALF = 0x80000000


def unwrap(wire: int, near: int) -> int:
    """The unwrapped number nearest to `near` that reads `wire` in 32 bits; at most 2**31 away."""
    return near + ((wire - near + HALF) & MASK) - HALF


def precedes(a: int, b: int) -> bool:
    """Whether the 32-bit value `a` lies before `b` in modular order (timestamps, RFC 7323 section 5.2)."""
    return (a - b) & MASK >= HALF
