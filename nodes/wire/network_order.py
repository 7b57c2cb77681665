"""Integers of a header, in network byte order. Pure; owns nothing.

Compiled, a field takes some tens of machine instructions. One that `struct` packs or unpacks takes some
hundred: an object for its value, a place in a tuple, and their end. librt's functions know signed numbers
alone.
"""

from __future__ import annotations

from librt.strings import BytesWriter, read_i16_be, read_i32_be, write_i16_be, write_i32_be

__all__ = ["BytesWriter", "put_u16", "put_u32", "u16", "u32"]


def u16(data: bytes, at: int) -> int:
    """The 16 bits at `data[at]`. Raises IndexError beyond the end."""
    signed: int = read_i16_be(data, at)
    return signed & 0xFFFF


def u32(data: bytes, at: int) -> int:
    """The 32 bits at `data[at]`. Raises IndexError beyond the end."""
    signed: int = read_i32_be(data, at)
    return signed & 0xFFFFFFFF


def put_u16(out: BytesWriter, value: int) -> None:
    """Append the 16 bits of `value`."""
    write_i16_be(out, (value ^ 0x8000) - 0x8000)


def put_u32(out: BytesWriter, value: int) -> None:
    """Append the 32 bits of `value`."""
    write_i32_be(out, (value ^ 0x80000000) - 0x80000000)
