"""TCP options as Linux and Windows write them, every combination of ours, and wrong lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire.tcp import ACK, PSH, SYN, MalformedTcp, TcpHeader, emit, parse

LINUX_SYN = "020405b4 0402 080a 009ddc4b 00000000 01 030307"
WINDOWS_SYN = "020405b4 01 030308 01 01 0402"
LINUX_SACK = "0101 080a 00000064 000000c8 0101 0512 00001000 00002000 00003000 00004000"
u32, u16 = st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)
blocks = st.lists(st.tuples(u32, u32), max_size=4)


def with_options(options: str, flags: int = ACK) -> bytes:
    body = bytes.fromhex(options)
    fixed = bytes.fromhex("a3c1 0050 11223344 55667788")
    return fixed + bytes([(20 + len(body)) << 2, flags]) + bytes.fromhex("ffff 0000 0000") + body


def header(**options: object) -> TcpHeader:
    return TcpHeader(0xA3C1, 80, 0x11223344, 0x55667788, ACK, 0xFFFF, **options)  # type: ignore[arg-type]


def parsed(data: bytes) -> TcpHeader:
    found, length = parse(data)
    assert length == len(data)
    return found


def test_the_options_of_a_linux_syn_are_read_and_written_alike() -> None:
    data = with_options(LINUX_SYN, SYN)
    found = parsed(data)
    assert (found.mss, found.wscale, found.sack_permitted) == (1460, 7, True)
    assert (found.ts_val, found.ts_ecr) == (0x009DDC4B, 0)
    assert emit(found) == data


def test_the_options_of_a_windows_syn_are_read() -> None:
    found = parsed(with_options(WINDOWS_SYN, SYN))
    assert (found.mss, found.wscale, found.sack_permitted, found.ts_val) == (1460, 8, True, None)


def test_a_sack_of_two_blocks_beside_timestamps_is_read_and_written_alike() -> None:
    data = with_options(LINUX_SACK)
    assert parsed(data) == header(ts_val=100, ts_ecr=200, sack=((0x1000, 0x2000), (0x3000, 0x4000)))
    assert emit(parsed(data)) == data


def test_an_ordinary_segment_has_timestamps_in_linuxs_place() -> None:
    data = with_options("0101080a 0000000100000002", ACK | PSH)
    assert emit(parsed(data)) == data


@pytest.mark.parametrize(
    "options",
    [
        "00000000",  # end of list at once
        "01010101",
        "00 020405",  # options behind the end of the list are ignored
        "1e04abcd",  # MPTCP: unknown kinds are skipped
        "fd04f989",  # kind 253, for experiments
        "0206000005b4 0101",  # MSS of another length
        "0302 0101",
        "04030001",
        "050600001111 0101",
        "0803ff01",
    ],
)
def test_options_of_unknown_kind_or_length_are_skipped(options: str) -> None:
    assert parsed(with_options(options)) == header()


def test_an_option_after_an_unknown_one_is_read() -> None:
    assert parsed(with_options("1e04abcd 020405b4")).mss == 1460


@pytest.mark.parametrize(
    "options",
    [
        "01010108",  # no length
        "02000101",  # length 0
        "02010101",  # length 1: shorter than kind and length
        "02050405",  # one byte past the header
        "01010105",
        "080affff",
        "05ff0000",
    ],
)
def test_an_option_that_runs_past_the_header_is_malformed(options: str) -> None:
    with pytest.raises(MalformedTcp, match="runs out"):
        parse(with_options(options))


@pytest.mark.parametrize("words", [0, 1, 4, 6, 15])
def test_a_data_offset_that_does_not_fit_is_malformed(words: int) -> None:
    data = bytearray(with_options(""))
    data[12] = words << 4
    with pytest.raises(MalformedTcp, match="data offset"):
        parse(bytes(data))


def test_the_checksum_is_written_as_given() -> None:
    assert emit(header(), 0xBEEF)[16:18] == b"\xbe\xef"
    assert emit(header(ts_val=1), 0xBEEF)[16:18] == b"\xbe\xef"


@given(st.none() | u16, st.none() | st.integers(0, 14), st.booleans(), st.none() | u32, u32, blocks, u16)
def test_every_mix_of_options_is_parsed_as_it_was_emitted(
    mss: int | None,
    wscale: int | None,
    permitted: bool,
    ts_val: int | None,
    ts_ecr: int,
    sack: list[tuple[int, int]],
    urgent: int,
) -> None:
    sent = header(mss=mss, wscale=wscale, sack_permitted=permitted, ts_val=ts_val, urgent=urgent)
    sent.ts_ecr = ts_ecr if ts_val is not None else 0
    sent.sack = tuple(sack)
    data = emit(sent)
    assert len(data) % 4 == 0
    assert len(data) <= 60
    found = parsed(data)
    room = (60 - len(emit(header(mss=mss, wscale=wscale, sack_permitted=permitted, ts_val=ts_val))) - 4) // 8
    sent.sack = sent.sack[:room]
    assert found == sent


@given(st.binary(max_size=40), st.integers(0, 2))
def test_any_options_are_parsed_or_malformed(options: bytes, shift: int) -> None:
    data = bytes(shift) + with_options((options + bytes(-len(options) % 4)).hex())
    try:
        found, length = parse(data, shift)
    except MalformedTcp:
        return
    assert length == len(data) - shift
    assert found.wscale is None or found.wscale <= 14
