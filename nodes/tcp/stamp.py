"""The moment in, the timestamp option's value out. Pure; owns nothing. RFC 7323 section 4.1."""

from __future__ import annotations

from nodes.tcp.seq import MASK


def stamp(now: float) -> int:
    """TSval of the moment: milliseconds, never 0 at the start (peers take an echo of 0 for none)."""
    return int(now * 1000) + 1 & MASK
