"""Integers of a header, in network byte order. Pure; owns nothing.

Compiled, one takes some tens of machine instructions. A field that `struct` unpacks takes some hundred: an
object for its value, one for the tuple, and their end.
"""

from __future__ import annotations


def u16(data: bytes, at: int) -> int:
    """The 16 bits at `data[at]`. Raises IndexError beyond the end."""
    return data[at] << 8 | data[at + 1]


def u32(data: bytes, at: int) -> int:
    """The 32 bits at `data[at]`. Raises IndexError beyond the end."""
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
