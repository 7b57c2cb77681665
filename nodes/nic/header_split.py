"""The NIC's parser: where a frame's headers end, and which flow it belongs to.

In: a frame's first bytes. Out: the exact split point for TCP over IPv4, or over IPv6 without extension
headers (BIG TCP's jumbo option excepted), or "cannot be split": such a frame goes to host memory whole.
Looks at headers only. Source: the header-split rules that
Documentation/networking/devmem.rst asks of a NIC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nodes.wire import ethernet, ip, ipv4, ipv6, tcp

# EtherType, version and header length, total length, fragment, protocol, addresses
_ETHERNET_IPV4 = struct.Struct("!12xHBxH2xHxB2xII")
_L4_START = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES
_FRAGMENT_MASK = 0x3FFF
# EtherType, version, payload length, next header
_ETHERNET_IPV6 = struct.Struct("!12xHB3xHB")
_L4_START_V6 = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES


@dataclass(slots=True)
class Parsed:
    """`header_bytes` 0: not splittable. `flow`: addresses and ports as they lie in the frame, b'' when
    there are none."""

    header_bytes: int
    frame_bytes: int  # without the padding of short Ethernet frames
    flow: bytes
    l4_start: int = 0


def flow_of(src: tuple[int, int], dst: tuple[int, int]) -> bytes:
    """`flow` of TCP packets from (address, port) to (address, port); an address as wire.ip has it."""
    width = 16 if ip.is_ipv6(src[0]) else 4
    addresses = src[0].to_bytes(width, "big") + dst[0].to_bytes(width, "big")
    return addresses + src[1].to_bytes(2, "big") + dst[1].to_bytes(2, "big")


def parse(first: memoryview, length: int) -> Parsed:
    """`first`: the beginning of a frame of `length` bytes."""
    if length < _L4_START:
        return Parsed(0, length, b"")
    ethertype, version, total, fragment, protocol, _, _ = _ETHERNET_IPV4.unpack_from(first)
    if ethertype != ethernet.TYPE_IPV4:
        return _parse_ipv6(first, length) if ethertype == ethernet.TYPE_IPV6 else Parsed(0, length, b"")
    if version >> 4 != 4 or version & 0xF < 5:
        return Parsed(0, length, b"")
    l4_start = ethernet.HEADER_BYTES + (version & 0xF) * 4
    frame_bytes = ethernet.HEADER_BYTES + total if total else length
    flow = bytes(first[26:34])
    if protocol != ipv4.TCP or fragment & _FRAGMENT_MASK or frame_bytes > length:
        return Parsed(0, length, flow)
    return _parse_tcp(first, l4_start, Parsed(0, frame_bytes, flow), length)


def _parse_ipv6(first: memoryview, length: int) -> Parsed:
    if length < _L4_START_V6:
        return Parsed(0, length, b"")
    _, version, payload_bytes, protocol = _ETHERNET_IPV6.unpack_from(first)
    if version >> 4 != 6:
        return Parsed(0, length, b"")
    l4_start = _L4_START_V6
    if protocol == ipv6.HOP_BY_HOP and payload_bytes == 0 and length > ipv6.PAYLOAD_MAX:
        payload_bytes, size = ipv6.jumbo(first, l4_start)
        protocol, l4_start = first[l4_start] if size else protocol, l4_start + size
    flow, frame_bytes = bytes(first[22:54]), _L4_START_V6 + payload_bytes
    if protocol != ip.TCP or frame_bytes > length:
        return Parsed(0, length, flow)
    return _parse_tcp(first, l4_start, Parsed(0, frame_bytes, flow), length)


def _parse_tcp(first: memoryview, l4_start: int, parsed: Parsed, length: int) -> Parsed:
    """`parsed`, completed by the TCP header at `l4_start`, which must lie in the packet and in `first`."""
    readable = min(parsed.frame_bytes, len(first))
    data_offset = (first[l4_start + 12] >> 4) * 4 if l4_start + tcp.HEADER_BYTES <= readable else 0
    if data_offset < tcp.HEADER_BYTES or l4_start + data_offset > readable:
        return Parsed(0, length, parsed.flow)
    parsed.header_bytes = l4_start + data_offset
    parsed.flow += bytes(first[l4_start : l4_start + 4])
    parsed.l4_start = l4_start
    return parsed
