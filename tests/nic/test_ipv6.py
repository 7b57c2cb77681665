"""The NIC and IPv6: where it splits, which checksums it verifies, which queue it chooses, how it sends."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from nodes.machine.ledger import Ledger
from nodes.nic import header_split
from nodes.nic.dma import Dma
from nodes.nic.flow_steering import FlowSteering, NtupleRule
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.rss import DEFAULT_KEY, toeplitz
from nodes.skb import Skb
from nodes.wire import ethernet, ip, ipv6
from nodes.wire.checksum import fold, partial_sum, pseudo_header_sum
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC, PEER_MAC

OURS, PEER = ip.address_int("2001:db8::1"), ip.address_int("2001:db8::2")
# The IPv6 rows of the Receive Side Scaling specification's verification suite: destination with port, source
# with port, hash with ports, hash without.
VECTORS = [
    ("3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x40207D3D, 0x2CC18CD5),
    ("ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0xDDE51BBF, 0x0F0C461C),
    ("fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x02D1FEEF, 0x4B61E985),
]


def frame(payload: bytes, options: int = 0, extension: bytes = b"", next_header: int = ip.TCP) -> bytes:
    """A TCP frame to OURS with a right checksum; `extension` begins with the next-header byte."""
    offset = (20 + options) << 2
    l4 = struct.pack("!HHIIBBHHH", 40000, 7000, 1, 0, offset, 0x10, 0xFFFF, 0, 0) + b"\1" * options + payload
    total = pseudo_header_sum(PEER, OURS, ip.TCP, len(l4)) + partial_sum(l4)
    l4 = l4[:16] + (~fold(total) & 0xFFFF).to_bytes(2, "big") + l4[18:]
    header = ipv6.emit(PEER, OURS, next_header, len(extension) + len(l4))
    packet = ethernet.emit(OUR_MAC, PEER_MAC, ethernet.TYPE_IPV6) + header + extension + l4
    return packet.ljust(60, b"\0")


def parse(data: bytes) -> header_split.Parsed:
    return header_split.parse(data[:182], len(data))


@pytest.mark.parametrize("options", range(0, 44, 4))
@pytest.mark.parametrize("length", [1, 7, 1440, 60000])
def test_headers_and_payload_are_split_exactly(options: int, length: int) -> None:
    data = frame(bytes(length), options)
    parsed = parse(data)
    assert (parsed.header_bytes, parsed.frame_bytes) == (74 + options, 74 + options + length)
    assert parsed.l4_start == 54
    addresses = PEER.to_bytes(16, "big") + OURS.to_bytes(16, "big")
    assert parsed.flow == addresses + struct.pack("!HH", 40000, 7000)


def test_padding_behind_the_packet_is_not_payload() -> None:
    assert parse(frame(b"") + bytes(6)).frame_bytes == 74


@pytest.mark.parametrize("next_header", [ipv6.HOP_BY_HOP, ipv6.ROUTING, ipv6.FRAGMENT, ipv6.DESTINATION])
def test_extension_headers_are_not_split_but_hashed_by_address(next_header: int) -> None:
    data = frame(b"x" * 100, extension=bytes((6, 0, 1, 4, 0, 0, 0, 0)), next_header=next_header)
    parsed = parse(data)
    assert (parsed.header_bytes, parsed.frame_bytes, len(parsed.flow)) == (0, len(data), 33)


def test_big_tcp_in_our_form_is_split() -> None:
    l4 = struct.pack("!HHIIBBHHH", 40000, 7000, 1, 0, 0x50, 0x10, 0xFFFF, 0, 0) + bytes(70_000)
    header = ipv6.emit(PEER, OURS, ip.TCP, len(l4))
    assert len(header) == ipv6.HEADER_BYTES + ipv6.JUMBO_BYTES == 56
    data = ethernet.emit(OUR_MAC, PEER_MAC, ethernet.TYPE_IPV6) + header + l4
    parsed = parse(data)
    assert (parsed.header_bytes, parsed.frame_bytes, parsed.l4_start) == (90, len(data), 70)
    found = ipv6.parse(data[:90], 14, len(data) - 14)
    assert found is not None
    assert (found.protocol, found.header_bytes, found.payload_bytes) == (ip.TCP, 56, len(l4))


def test_big_tcp_in_linuxs_form_is_split() -> None:
    payload = bytes(70_000)
    l4 = struct.pack("!HHIIBBHHH", 40000, 7000, 1, 0, 0x50, 0x10, 0xFFFF, 0, 0) + payload
    jumbo = struct.pack("!BBBBI", ip.TCP, 0, 0xC2, 4, 8 + len(l4))
    header = ipv6.emit(PEER, OURS, ipv6.HOP_BY_HOP, 0)
    data = ethernet.emit(OUR_MAC, PEER_MAC, ethernet.TYPE_IPV6) + header + jumbo + l4
    parsed = parse(data)
    assert (parsed.header_bytes, parsed.frame_bytes, parsed.l4_start) == (82, len(data), 62)
    found = ipv6.parse(data[:82], 14, len(data) - 14)
    assert found is not None
    assert (found.protocol, found.header_bytes, found.payload_bytes) == (ip.TCP, 48, len(l4))


@pytest.mark.parametrize("length", range(14, 74))
def test_a_frame_that_ends_within_its_headers_is_not_split(length: int) -> None:
    assert parse(frame(b"")[:length]).header_bytes == 0


@pytest.mark.parametrize(("dst", "dst_port", "src", "src_port", "with_ports", "without"), VECTORS)
def test_the_hash_is_the_published_one(
    dst: str, dst_port: int, src: str, src_port: int, with_ports: int, without: int
) -> None:
    data = ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed
    assert toeplitz(DEFAULT_KEY, data) == without
    assert toeplitz(DEFAULT_KEY, data + struct.pack("!HH", src_port, dst_port)) == with_ports


def test_a_rule_of_one_version_does_not_match_the_other() -> None:
    flow = parse(frame(b"x")).flow
    steering = FlowSteering()
    steering.insert(NtupleRule(3, dst_port=7000), None)
    assert steering.match(flow) is None
    steering.insert(NtupleRule(4, dst_ip=OURS, address_bytes=16), None)
    found = steering.match(flow)
    assert found is not None
    assert found.queue == 4


@pytest.mark.parametrize("bit", [8 * 22, 8 * 53 + 7, 8 * 54 + 3, 8 * 80, 8 * 100])
def test_a_checksum_is_verified_over_the_addresses_too(bit: int) -> None:
    data = bytearray(frame(b"payload" * 10, options=12))
    good = Dma.tcp_checksum_good(bytes(data[:86]), 54, [memoryview(data)[86:]])
    data[bit // 8] ^= 1 << bit % 8
    bad = Dma.tcp_checksum_good(bytes(data[:86]), 54, [memoryview(data)[86:]])
    assert (good, bad) == (True, False)


def test_a_frame_it_cannot_split_goes_to_host_memory_unverified() -> None:
    wire = FakeWire()
    device = NetDevice(DeviceConfig("eth0", 1, OUR_MAC), wire, Ledger())
    data = frame(b"x" * 500, extension=bytes((6, 0, 1, 4, 0, 0, 0, 0)), next_header=ipv6.DESTINATION)
    wire.put(data)
    (skb,) = device.poll(1)
    assert (bytes(skb.header), skb.payload, skb.checksum_good) == (data, None, False)
    device.close()


def test_tso_of_an_ipv6_packet_is_marked_as_ipv6() -> None:
    wire = FakeWire()
    device = NetDevice(DeviceConfig("eth0", 1, OUR_MAC), wire, Ledger())
    device.xmit(Skb(frame(b""), None, gso_size=1440), 54)
    (sent,) = wire.sent
    assert (sent.offload.ipv6, sent.offload.csum_start, sent.offload.gso_size) == (True, 54, 1440)
    device.close()
