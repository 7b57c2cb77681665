"""TCP headers: `parse` reads what `emit` writes, and raises a sentence for malformed ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire import ip
from nodes.wire.checksum import pseudo_header_sum
from nodes.wire.tcp import ACK, SYN, MalformedTcp, TcpHeader, emit, emit_partial, parse

u32, u16 = st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)


def round_trip(header: TcpHeader) -> TcpHeader:
    data = emit(header)
    assert len(data) % 4 == 0
    assert len(data) <= 60
    parsed, length = parse(b"\xff" * 3 + data + b"payload", 3)
    assert length == len(data)
    return parsed


@given(u16, u32, u32, st.integers(0, 255), u16, st.none() | u32, st.lists(st.tuples(u32, u32), max_size=3))
def test_an_ordinary_header_is_parsed_as_it_was_emitted(
    port: int, seq: int, ack: int, flags: int, window: int, ts: int | None, sack: list[tuple[int, int]]
) -> None:
    header = TcpHeader(port, 80, seq, ack, flags, window, ts_val=ts, sack=tuple(sack))
    header.ts_ecr = 0 if ts is None else ack
    assert round_trip(header) == header


@given(u16, st.integers(0, 14), st.booleans(), st.none() | u32)
def test_a_syn_is_parsed_as_it_was_emitted(mss: int, wscale: int, sack: bool, ts: int | None) -> None:
    header = TcpHeader(1, 2, 3, 0, SYN, 65535, mss=mss, wscale=wscale, sack_permitted=sack, ts_val=ts)
    assert round_trip(header) == header


def test_a_fourth_sack_block_fits_only_without_timestamps() -> None:
    four = ((1, 2), (3, 4), (5, 6), (7, 8))
    assert round_trip(TcpHeader(1, 2, 3, 4, ACK, 5, sack=four)).sack == four
    assert round_trip(TcpHeader(1, 2, 3, 4, ACK, 5, ts_val=9, sack=four)).sack == four[:3]


def test_a_window_scale_above_14_is_read_as_14() -> None:
    assert round_trip(TcpHeader(1, 2, 3, 0, SYN, 5, wscale=15)).wscale == 14


@pytest.mark.parametrize(
    "header",
    [
        TcpHeader(1, 2, 3, 4, ACK, 5),
        TcpHeader(1, 2, 3, 4, ACK, 5, urgent=6, ts_val=2**32 - 1, ts_ecr=8),
        TcpHeader(1, 2, 3, 4, ACK, 5, ts_val=9, sack=((1, 2),)),
        TcpHeader(1, 2, 3, 0, SYN, 5, mss=1460, wscale=7, sack_permitted=True, ts_val=1),
    ],
)
@pytest.mark.parametrize("ends", [(0x0A000101, 0x0A000102), (0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 2)])
def test_a_nic_finds_the_sum_of_the_pseudo_header_in_the_field(
    header: TcpHeader, ends: tuple[int, int]
) -> None:
    for payload_bytes in (0, 65160, 1 << 19):
        length = len(emit(header)) + payload_bytes
        expected = emit(header, pseudo_header_sum(*ends, ip.TCP, length))
        assert emit_partial(header, *ends, payload_bytes) == expected


@pytest.mark.parametrize("cut", range(20))
def test_a_short_header_is_refused(cut: int) -> None:
    with pytest.raises(MalformedTcp, match="shorter than 20"):
        parse(emit(TcpHeader(1, 2, 3, 4, ACK, 5))[:cut])


@given(st.binary(min_size=20, max_size=80))
def test_any_bytes_are_a_header_or_malformed(data: bytes) -> None:
    try:
        _, length = parse(data)
    except MalformedTcp:
        return
    assert 20 <= length <= min(60, len(data))
