"""Integers of a header: the same bytes as `struct`, and back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire.network_order import BytesWriter, put_u16, put_u32, u16, u32


@given(st.integers(0, 0xFFFF))
def test_16_bits_are_as_struct_has_them(value: int) -> None:
    out = BytesWriter()
    put_u16(out, value)
    assert out.getvalue() == struct.pack("!H", value)
    assert u16(b"!" + out.getvalue(), 1) == value


@given(st.integers(0, 0xFFFFFFFF))
def test_32_bits_are_as_struct_has_them(value: int) -> None:
    out = BytesWriter()
    put_u32(out, value)
    assert out.getvalue() == struct.pack("!I", value)
    assert u32(b"!" + out.getvalue(), 1) == value


@pytest.mark.parametrize("value", [0, 1, 0x7FFF, 0x8000, 0xFFFF])
def test_the_sign_bit_is_one_of_16(value: int) -> None:
    out = BytesWriter()
    put_u16(out, value)
    assert u16(out.getvalue(), 0) == value


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_the_sign_bit_is_one_of_32(value: int) -> None:
    out = BytesWriter()
    put_u32(out, value)
    assert u32(out.getvalue(), 0) == value


def test_beyond_the_end_there_is_no_integer() -> None:
    with pytest.raises(IndexError):
        u16(bytes(4), 3)
    with pytest.raises(IndexError):
        u32(bytes(4), 1)


def test_a_value_of_more_bits_is_refused() -> None:
    out = BytesWriter()
    for value in (0x10000, -1):
        with pytest.raises((ValueError, OverflowError)):
            put_u16(out, value)
    for value in (1 << 32, -1):
        with pytest.raises((ValueError, OverflowError)):
            put_u32(out, value)
