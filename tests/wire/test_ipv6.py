"""IPv6 headers, ICMPv6 and neighbour discovery: which are parsed, which are dropped; `parse` reads `emit`."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6, ndisc
from nodes.wire.icmp import IcmpError
from nodes.wire.ip import IpHeader

A, B = ip.address_int("2001:db8::a"), ip.address_int("2001:db8::b")
PADN = bytes((1, 4, 0, 0, 0, 0))
v6 = st.integers(1 << 32, 2**128 - 1)


def packet(*extensions: tuple[int, bytes], upper: int = ip.TCP, body: bytes = b"upper layer") -> bytes:
    """A packet with these extension headers: (number, bytes after the next-header byte) of each."""
    numbers = [number for number, _ in extensions] + [upper]
    chain = b"".join(bytes((numbers[i + 1],)) + rest for i, (_, rest) in enumerate(extensions))
    return ipv6.emit(A, B, numbers[0], len(chain) + len(body)) + chain + body


def parse(data: bytes) -> IpHeader | None:
    return ipv6.parse(data, 0, len(data))


# --- addresses


@pytest.mark.parametrize("text", ["10.0.0.1", "2001:db8::1", "fe80::1", "ff02::1", "0.0.0.0"])
def test_an_address_is_parsed_as_it_was_written(text: str) -> None:
    assert ip.address_text(ip.address_int(text)) == text


def test_an_ipv4_mapped_address_is_its_ipv4_address() -> None:
    assert ip.address_int("::ffff:10.0.0.1") == ip.address_int("10.0.0.1")
    assert ip.mapped_text(ip.address_int("10.0.0.1")) == "::ffff:10.0.0.1"
    assert [ip.mapped_text(0), ip.mapped_text(A)] == ["::", "2001:db8::a"]


@pytest.mark.parametrize("text", ["::1", "::10.0.0.1", "2001:db8", "", "h1"])
def test_an_address_that_no_link_carries_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ip.address_int(text)


# --- headers


@given(v6, v6, st.integers(0, 255), st.integers(0, 1400), st.integers(0, 255), st.integers(0, 255))
def test_a_header_is_parsed_as_it_was_emitted(
    src: int, dst: int, protocol: int, payload: int, tos: int, hops: int
) -> None:
    data = ipv6.emit(src, dst, protocol, payload, tos, hops)
    found = ipv6.parse(b"!" * 14 + data, 14, 40 + payload)
    if protocol not in ipv6.EXTENSIONS:
        assert found == IpHeader(src, dst, protocol, 40, payload, tos, hops)


def test_extension_headers_belong_to_the_header() -> None:
    options = (ipv6.HOP_BY_HOP, bytes((0,)) + PADN), (ipv6.DESTINATION, bytes((1,)) + bytes(14))
    atomic = (ipv6.FRAGMENT, bytes(7))
    found = parse(packet(*options, atomic, upper=ip.ICMPV6))
    assert found is not None
    assert (found.protocol, found.header_bytes, found.payload_bytes) == (ip.ICMPV6, 40 + 8 + 16 + 8, 11)


@pytest.mark.parametrize(
    "extensions",
    [
        [(ipv6.DESTINATION, b"\0" + PADN), (ipv6.HOP_BY_HOP, b"\0" + PADN)],  # hop-by-hop comes first
        [(ipv6.DESTINATION, b"\x05" + PADN)],  # longer than the packet
        [(ipv6.DESTINATION, b"\0\x01\x09\0\0\0\0")],  # an option longer than its header
        [(ipv6.DESTINATION, b"\0\x80\x04\0\0\0\0")],  # an option that must not be skipped
        [(ipv6.ROUTING, b"\0\0\x01\0\0\0\0")],  # segments left
        [(ipv6.FRAGMENT, b"\0\0\x01\0\0\0\0")],  # more fragments
        [(ipv6.FRAGMENT, b"\0\0\x08\0\0\0\0")],  # a later fragment
        [(ipv6.DESTINATION, b"\0" + PADN)] * 9,  # more than the parser skips
    ],
)
def test_a_packet_with_invalid_extension_headers_is_dropped(extensions: list[tuple[int, bytes]]) -> None:
    assert parse(packet(*extensions)) is None


def jumbogram(option: bytes, following: int, count: int, payload_length: int = 0) -> IpHeader | None:
    """A packet of `count` bytes behind a hop-by-hop header that has only this `option`."""
    option = bytes((following, len(option) // 8)) + option
    header = ipv6.emit(A, B, ipv6.HOP_BY_HOP, payload_length)
    return parse(header + option + bytes(count))


LINUXS = b"\xc2\x04"  # the jumbo option as Linux writes it; the next line is ours
PADDED, PADDED_END = b"\1\2\0\0\xc2\x04", b"\1\2\0\0"


@pytest.mark.parametrize(("before", "behind"), [(LINUXS, b""), (PADDED, PADDED_END)])
def test_a_jumbo_option_is_accepted_for_lengths_above_65535_only(before: bytes, behind: bytes) -> None:
    """RFC 2675 section 3: the payload length field of such a packet is 0."""
    size = 2 + len(before + behind) + 4
    for length, there in ((70_000, True), (65_536, True), (65_535, False), (100, False), (0, False)):
        option = before + length.to_bytes(4, "big") + behind
        found = jumbogram(option, ip.TCP, max(0, length - size))
        assert (found is not None) == there, length
        assert found is None or (found.header_bytes, found.payload_bytes) == (40 + size, length - size)
    option = before + (70_000).to_bytes(4, "big") + behind
    assert jumbogram(option, ip.TCP, 70_000 - size, payload_length=100) is None
    assert jumbogram(option, ip.TCP, 70_000 - size - 1) is None, "longer than the packet"
    assert jumbogram(option, ipv6.HOP_BY_HOP, 70_000 - size) is None, "of hop-by-hop headers there is one"


@pytest.mark.parametrize("option", [b"\xc2\x02", b"\xc2\x05", b"\x05\x04"])
def test_a_jumbo_option_of_another_length_is_not_accepted(option: bytes) -> None:
    assert jumbogram(option + (70_000).to_bytes(4, "big"), ip.TCP, 70_000 - 8) is None


def test_a_jumbo_option_in_another_place_is_not_accepted() -> None:
    option = b"\0" + LINUXS + (70_000).to_bytes(4, "big")
    assert parse(packet((ipv6.DESTINATION, option))) is None
    assert parse(packet((ipv6.HOP_BY_HOP, option))) is None


def test_a_quoted_jumbo_packet_of_ours_is_parsed() -> None:
    found = ipv6.quoted(ipv6.emit(A, B, ip.TCP, 100_000) + bytes(8))
    assert found is not None
    assert (found.protocol, found.l4_start) == (ip.TCP, 40 + ipv6.JUMBO_BYTES)


def test_lengths_that_do_not_fit_are_dropped() -> None:
    data = packet()
    assert ipv6.parse(data, 0, len(data) - 1) is None
    assert parse(data[:39]) is None
    assert parse(b"\x40" + data[1:]) is None


@pytest.mark.parametrize("src", [1, 0xFFFFFFFF])
def test_a_source_in_the_range_of_ipv4_addresses_is_dropped(src: int) -> None:
    assert parse(ipv6.emit(src, B, ip.TCP, 0)) is None


@given(st.binary(max_size=120))
def test_the_parsers_accept_any_bytes_without_an_exception(data: bytes) -> None:
    for protocol in (*ipv6.EXTENSIONS, ip.TCP):
        whole = ipv6.emit(A, B, protocol, len(data)) + data
        ipv6.parse(whole, 0, len(whole))
        ipv6.quoted(whole)
    ipv6.parse(data, 0, len(data))
    ipv6.quoted(data)
    ipv4.quoted(data)
    ndisc.parse(data)
    icmp.parse_error(data)
    icmpv6.parse_error(data, A, B)


# --- ICMPv6


def test_an_echo_reply_answers_an_echo_request_with_a_good_checksum() -> None:
    request = icmpv6.with_checksum(bytes((128, 0, 0, 0, 0, 1, 0, 2)) + b"odd", A, B)
    reply = icmpv6.echo_reply(request, A, B)
    assert reply is not None
    assert (reply[0], reply[4:]) == (129, request[4:])
    assert icmpv6.checksum_good(reply, B, A)
    assert icmpv6.echo_reply(request, A, B + 1) is None
    assert icmpv6.echo_reply(reply, A, B) is None


@pytest.mark.parametrize(("kind", "mtu"), [(icmpv6.PACKET_TOO_BIG, 1400), (icmpv6.UNREACHABLE, 0)])
def test_an_icmpv6_error_is_parsed_as_it_was_emitted(kind: int, mtu: int) -> None:
    sent = IcmpError(kind, 0, mtu, packet(), 0, A)
    assert icmpv6.parse_error(icmpv6.emit_error(sent, A, B), A, B) == sent
    assert icmpv6.parse_error(icmpv6.emit_error(sent, A, B), B, A + 2) is None


@pytest.mark.parametrize(("code", "mtu"), [(4, 1400), (1, 0)])
def test_an_icmp_error_is_parsed_as_it_was_emitted(code: int, mtu: int) -> None:
    sent = IcmpError(icmp.UNREACHABLE, code, mtu, ipv4.emit(1, 2, ip.TCP, 8) + bytes(8))
    message = icmp.emit_error(sent)
    assert icmp.parse_error(message) == sent
    assert icmp.parse_error(message[:-1] + b"!") is None


def test_a_quoted_packet_need_not_be_whole() -> None:
    found = ipv6.quoted(packet((ipv6.DESTINATION, b"\0" + PADN))[:56])
    assert found is not None
    assert (found.src, found.dst, found.protocol, found.l4_start) == (A, B, ip.TCP, 48)
    four = ipv4.quoted(ipv4.emit(1, 2, ip.TCP, 1400)[:28])
    assert four is not None
    assert (four.src, four.dst, four.protocol, four.l4_start) == (1, 2, ip.TCP, 20)


# --- neighbour discovery


@given(st.integers(1 << 32, (0xFF << 120) - 1), st.none() | st.binary(min_size=6, max_size=6))
def test_a_solicitation_is_parsed_as_it_was_emitted(target: int, mac: bytes | None) -> None:
    packet = ndisc.Solicitation(target, mac)
    assert ndisc.parse(ndisc.emit(packet)) == packet


@given(st.binary(min_size=6, max_size=6), st.booleans(), st.booleans())
def test_an_advertisement_is_parsed_as_it_was_emitted(mac: bytes, solicited: bool, override: bool) -> None:
    packet = ndisc.Advertisement(A, mac, solicited, override)
    assert ndisc.parse(ndisc.emit(packet)) == packet


@pytest.mark.parametrize(
    "damage",
    [
        lambda m: m[:23],
        lambda m: m[:1] + b"\1" + m[2:],  # a code
        lambda m: m[:8] + b"\xff" + m[9:],  # a multicast target
        lambda m: m[:25] + b"\0" + m[26:],  # an option of length 0
        lambda m: m + b"\1",  # an option that is cut
    ],
)
def test_an_invalid_neighbour_message_is_not_parsed(damage: object) -> None:
    assert callable(damage)
    message = ndisc.emit(ndisc.Solicitation(A, b"\2" * 6))
    assert ndisc.parse(damage(message)) is None


def test_multicast_addresses_are_those_of_the_rfcs() -> None:
    address = ip.address_int("2001:db8::1:800:200e:8c6c")
    assert ip.address_text(ipv6.solicited_node(address)) == "ff02::1:ff0e:8c6c"  # RFC 4291 section 2.7.1
    assert ethernet.multicast_of(ipv6.solicited_node(address)) == bytes.fromhex("3333ff0e8c6c")
    assert struct.unpack("!H", icmpv6.with_checksum(bytes(8), A, B)[2:4])[0] != 0
