"""Sequence numbers and timestamps: 32 bits on the wire, unwrapped integers inside a connection. Pure
functions.

RFC 9293 section 3.4, RFC 7323 sections 4.1 and 5.2. A connection keeps sequence numbers that never wrap, so a
plain `<` is right everywhere else; only code that reads or writes a header converts to and from 32 bits.
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000


def unwrap(wire: int, near: int) -> int:
    """The unwrapped number nearest to `near` whose low 32 bits are `wire`; at most 2**31 away from `near`."""
    return near + ((wire - near + HALF) & MASK) - HALF


def precedes(a: int, b: int) -> bool:
    """Whether the 32-bit value `a` is before `b` in modular order (timestamps, RFC 7323 section 5.2)."""
    return (a - b) & MASK >= HALF


def ts_val(now: float) -> int:
    """TSval of a segment sent at `now` (monotonic seconds): a 32-bit clock of milliseconds.

    The clock starts at 1: peers take a TSecr of 0 for "no timestamp".
    """
    return int(now * 1000) + 1 & MASK
