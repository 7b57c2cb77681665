"""The parser finds where headers end, whatever their length, and which frames cannot be split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.nic import header_split
from nodes.nic.header_split import Parsed
from tests.nic.frames import OUR_IP, PEER_IP, Tcp, arp_request, fragment, icmp, udp

PEEK = 182  # wire_port.PEEK_BYTES
PROTOCOL = slice(23, 24)  # of an IPv4 frame
FLOW = PEER_IP.to_bytes(4, "big") + OUR_IP.to_bytes(4, "big")
PORTS = (40000).to_bytes(2, "big") + (7000).to_bytes(2, "big")
LENGTHS = (0, 1, 5, 6, 7, 100, 1460, 65000)


def parse(frame: bytes) -> Parsed:
    return header_split.parse(frame[:PEEK], len(frame))


@pytest.mark.parametrize("ip_options", range(0, 44, 4))
@pytest.mark.parametrize("tcp_options", range(0, 44, 4))
def test_the_split_is_where_the_headers_end(ip_options: int, tcp_options: int) -> None:
    for length in LENGTHS:
        segment = Tcp(b"p" * length, ip_options=ip_options, tcp_options=tcp_options)
        parsed = parse(segment.frame())
        assert parsed.header_bytes == segment.header_bytes
        assert parsed.frame_bytes == segment.header_bytes + length  # padding is not payload
        assert parsed.l4_start == 34 + ip_options
        assert parsed.flow == FLOW + PORTS


def test_a_super_packet_of_512_kib_is_split_by_the_links_length() -> None:
    segment = Tcp(bytes(512 << 10), tcp_options=12)
    parsed = parse(segment.frame())
    assert (parsed.header_bytes, parsed.frame_bytes) == (66, 66 + (512 << 10))


@pytest.mark.parametrize("frame", [udp(b"datagram"), udp(bytes(3000)), icmp(b"echo"), icmp(bytes(1472))])
def test_other_protocols_are_not_split_and_are_part_of_the_flow(frame: bytes) -> None:
    assert parse(frame) == Parsed(0, len(frame), FLOW + frame[PROTOCOL])


def test_arp_has_no_flow() -> None:
    assert parse(arp_request()) == Parsed(0, 60, b"")


@pytest.mark.parametrize(("offset", "more"), [(0, True), (1480, True), (1480, False)])
def test_a_fragment_is_not_split(offset: int, more: bool) -> None:
    frame = fragment(offset, more, b"\x50" * 200)  # could be a TCP header
    assert parse(frame) == Parsed(0, len(frame), FLOW + frame[PROTOCOL])


@pytest.mark.parametrize("length", range(54 + 8))
def test_a_frame_cut_in_its_headers_is_not_split(length: int) -> None:
    frame = Tcp(b"payload!", tcp_options=8, ip_options=0).frame()[:length]
    parsed = parse(frame)
    assert (parsed.header_bytes, parsed.frame_bytes) == (0, length)


@pytest.mark.parametrize("length", range(20))
def test_a_packet_too_short_for_a_tcp_header_is_not_split(length: int) -> None:
    frame = fragment(0, False, b"\x50" * length)[: 34 + length]
    assert parse(frame) == Parsed(0, len(frame), FLOW + frame[PROTOCOL])


def test_a_frame_cut_in_its_payload_is_not_split() -> None:
    frame = Tcp(bytes(1000)).frame()[:-1]
    assert parse(frame) == Parsed(0, len(frame), FLOW + frame[PROTOCOL])


@pytest.mark.parametrize("words", [0, 1, 4])
def test_a_data_offset_below_20_bytes_is_not_split(words: int) -> None:
    frame = bytearray(Tcp(bytes(100)).frame())
    frame[46] = words << 4
    assert parse(bytes(frame)).header_bytes == 0


def test_a_data_offset_past_the_packet_is_not_split() -> None:
    frame = bytearray(Tcp(bytes(3)).frame())
    frame[46] = 15 << 4
    assert parse(bytes(frame)).header_bytes == 0


@pytest.mark.parametrize("version", [0x65, 0x44, 0x40])
def test_a_frame_of_another_ip_version_is_not_split(version: int) -> None:
    frame = bytearray(Tcp(bytes(100)).frame())
    frame[14] = version
    assert parse(bytes(frame)) == Parsed(0, len(frame), b"")


@given(st.binary(max_size=200), st.integers(0, 1000), st.booleans())
def test_any_frame_is_split_within_its_bytes_or_not_at_all(noise: bytes, more: int, tcp_like: bool) -> None:
    frame = Tcp().frame()[:24] + noise if tcp_like else noise
    parsed = header_split.parse(frame[:PEEK], len(frame) + (more if len(frame) > PEEK else 0))
    if parsed.header_bytes:
        assert 54 <= parsed.header_bytes <= min(parsed.frame_bytes, PEEK)
        assert len(parsed.flow) == 12
    assert parsed.frame_bytes <= len(frame) + more
