"""Checksums, compared with RFC 1071's example, a captured header, and a word-by-word reference."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire.checksum import fold, internet_checksum, partial_sum, pseudo_header_sum, sum_of_views
from nodes.wire.ipv4 import TCP, address_int

RFC_1071 = bytes.fromhex("0001f203f4f5f6f7")  # section 3


def reference(data: bytes) -> int:
    """RFC 1071 section 4.1, one word at a time."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_example_of_rfc_1071_sums_to_ddf2() -> None:
    assert fold(partial_sum(RFC_1071)) == fold(0x2DDF0) == 0xDDF2
    assert internet_checksum(RFC_1071) == 0x220D


def test_a_header_with_its_checksum_in_place_sums_to_zero() -> None:
    header = bytes.fromhex("4500007300004000 4011 b861 c0a80001c0a800c7")
    assert internet_checksum(header) == 0
    assert internet_checksum(header[:10] + b"\0\0" + header[12:]) == 0xB861


@pytest.mark.parametrize(("data", "total"), [(b"", 0), (b"\x12", 0x1200), (b"\x12\x34\x56", 0x6834)])
def test_an_odd_last_byte_is_the_first_half_of_a_word(data: bytes, total: int) -> None:
    assert partial_sum(data) == total


@pytest.mark.parametrize("length", [0, 1, 2, 20, 21, 2047, 2048, 2049, 9001])
@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x9c"])
def test_short_and_long_data_have_the_sum_of_their_words(length: int, byte: bytes) -> None:
    data = byte * length
    assert fold(partial_sum(memoryview(data))) == reference(data)


FOLDED = [(0, 0), (0xFFFF, 0xFFFF), (0x10000, 1), (0x1FFFF, 1), (2**48, 1)]


@pytest.mark.parametrize(("total", "folded"), FOLDED)
def test_folding_adds_carries_back_until_none_is_left(total: int, folded: int) -> None:
    assert fold(total) == folded


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_views_that_are_cut_anywhere_have_the_sum_of_the_whole(pieces: list[bytes]) -> None:
    assert sum_of_views(memoryview(piece) for piece in pieces) == reference(b"".join(pieces))


def test_views_that_begin_at_odd_bytes_are_summed_in_their_place() -> None:
    for first, second in itertools.product(range(len(RFC_1071) + 1), repeat=2):
        bounds = (0, min(first, second), max(first, second), len(RFC_1071))
        views = [memoryview(RFC_1071)[a:b] for a, b in itertools.pairwise(bounds)]
        assert sum_of_views(views) == 0xDDF2


@given(st.binary(min_size=1, max_size=200), st.integers(0, 3))
def test_a_view_may_begin_at_an_odd_address(data: bytes, shift: int) -> None:
    view = memoryview(b"\xaa" * shift + data)[shift:]
    assert fold(partial_sum(view)) == reference(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**20))
def test_the_pseudo_header_is_summed_as_rfc_9293_lays_it_out(src: int, dst: int, length: int) -> None:
    laid_out = b"".join(field.to_bytes(4, "big") for field in (src, dst, TCP, length))
    assert pseudo_header_sum(src, dst, TCP, length) == reference(laid_out)


def test_a_pseudo_header_by_hand() -> None:
    # c0a8 + 0001 + c0a8 + 00c7 + 0006 + 0020
    assert pseudo_header_sum(address_int("192.168.0.1"), address_int("192.168.0.199"), TCP, 32) == 0x823F
