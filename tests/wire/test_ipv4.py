"""IPv4 headers: which are parsed, which are dropped, and that `parse` reads what `emit` writes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire import ipv4
from nodes.wire.checksum import internet_checksum
from nodes.wire.ip import IpHeader

CAPTURED = bytes.fromhex("4500007300004000 4011b861 c0a80001c0a800c7")  # 115 bytes of UDP
u32 = st.integers(0, 2**32 - 1)


def header(**changes: int) -> bytes:
    """The header of a 40-byte packet with some fields changed and with the right checksum."""
    fields = {"version": 0x45, "tos": 0, "total": 40, "id": 0, "frag": 0, "ttl": 64, "protocol": 6, **changes}
    options = bytes(max(0, (fields["version"] & 0xF) * 4 - 20))
    packed = struct.pack("!BBHHHBBHII", *fields.values(), 0, 0x0A000001, 0x0A000002) + options
    return packed[:10] + internet_checksum(packed).to_bytes(2, "big") + packed[12:]


def parse(data: bytes, available: int, start: int = 0) -> IpHeader | None:
    return ipv4.parse(data, start, available)


def test_a_captured_header_is_read() -> None:
    src, dst = ipv4.address_int("192.168.0.1"), ipv4.address_int("192.168.0.199")
    assert parse(CAPTURED, 115) == IpHeader(src, dst, 17, 20, 95, 0, 64)


def test_padding_of_a_short_frame_is_not_payload() -> None:
    found = parse(header() + bytes(26), 46)
    assert found is not None
    assert found.payload_bytes == 20


@pytest.mark.parametrize("words", range(6, 16))
def test_options_belong_to_the_header(words: int) -> None:
    found = parse(header(version=0x40 | words, total=words * 4 + 7), words * 4 + 7)
    assert found is not None
    assert (found.header_bytes, found.payload_bytes) == (words * 4, 7)


def test_a_wrong_bit_in_the_options_drops_the_packet() -> None:
    damaged = bytearray(header(version=0x47))
    damaged[22] ^= 1
    assert parse(bytes(damaged), 40) is None


@pytest.mark.parametrize("bit", range(160))
def test_one_wrong_bit_anywhere_drops_the_packet(bit: int) -> None:
    damaged = bytearray(CAPTURED)
    damaged[bit // 8] ^= 1 << bit % 8
    assert parse(bytes(damaged) + bytes(95), 115) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0x65},  # version 6
        {"version": 0x44},  # a header of 16 bytes
        {"total": 19},  # shorter than its header
        {"total": 41},  # longer than the frame
        {"frag": 0x2000},  # more fragments
        {"frag": 1},  # the second fragment
        {"total": 0},  # the length of BIG TCP, for a short packet
        {"version": 0x4F, "total": 59},  # options that run past the packet
    ],
)
def test_lengths_that_do_not_fit_and_fragments_are_dropped(changes: dict[str, int]) -> None:
    assert parse(header(**changes) + bytes(20), 40) is None


@pytest.mark.parametrize("length", range(20))
def test_less_than_a_header_is_dropped(length: int) -> None:
    assert parse(header()[:length], length) is None


def test_a_header_cut_in_its_options_is_dropped() -> None:
    assert parse(header(version=0x47)[:24], 40) is None


def test_the_length_of_a_big_packet_comes_from_the_link() -> None:
    big = ipv4.emit(1, 2, ipv4.TCP, 512 << 10)
    assert big[2:4] == b"\0\0"
    found = parse(big, (512 << 10) + 20)
    assert found is not None
    assert found.payload_bytes == 512 << 10


def test_a_packet_of_65535_bytes_has_its_length_in_the_header() -> None:
    assert ipv4.emit(1, 2, ipv4.TCP, 65515)[2:4] == b"\xff\xff"
    assert ipv4.emit(1, 2, ipv4.TCP, 65516)[2:4] == b"\0\0"


@given(u32, u32, st.integers(0, 255), st.integers(0, 1 << 20), st.integers(0, 255))
def test_a_header_is_parsed_as_it_was_emitted(
    src: int, dst: int, protocol: int, payload: int, tos: int
) -> None:
    data = ipv4.emit(src, dst, protocol, payload, tos)
    assert internet_checksum(data) == 0
    wanted = IpHeader(src, dst, protocol, 20, payload, tos, ipv4.TTL)
    assert parse(b"??" + data, payload + 20, 2) == wanted


def test_the_dont_fragment_bit_is_set() -> None:
    assert ipv4.emit(1, 2, ipv4.TCP, 20)[6:8] == b"\x40\0"


def test_an_address_is_parsed_as_it_was_written() -> None:
    assert ipv4.address_int("10.0.0.1") == 0x0A000001
    assert ipv4.address_text(0x0A000001) == "10.0.0.1"
    with pytest.raises(ValueError, match=r"10\.0\.0\.256"):
        ipv4.address_int("10.0.0.256")
