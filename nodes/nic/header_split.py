"""The NIC's parser: where a frame's headers end, and which flow it belongs to.

In: a frame's first bytes. Out: the exact split point for TCP over IPv4, or "cannot be split": such a
frame goes to host memory whole. Looks at headers only. Source: the header-split rules that
Documentation/networking/devmem.rst asks of a NIC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nodes.wire import ethernet, ipv4, tcp

# EtherType, version and header length, total length, fragment, protocol, addresses
_ETHERNET_IPV4 = struct.Struct("!12xHBxH2xHxB2xII")
_L4_START = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES
_FRAGMENT_MASK = 0x3FFF


@dataclass(slots=True)
class Parsed:
    """`header_bytes` 0: not splittable. `flow`: addresses and ports as they lie in the frame, b'' when
    there are none."""

    header_bytes: int
    frame_bytes: int  # without the padding of short Ethernet frames
    flow: bytes
    l4_start: int = 0


def parse(first: memoryview, length: int) -> Parsed:
    """`first`: the beginning of a frame of `length` bytes."""
    if length < _L4_START:
        return Parsed(0, length, b"")
    ethertype, version, total, fragment, protocol, _, _ = _ETHERNET_IPV4.unpack_from(first)
    if ethertype != ethernet.TYPE_IPV4 or version >> 4 != 4 or version & 0xF < 5:
        return Parsed(0, length, b"")
    l4_start = ethernet.HEADER_BYTES + (version & 0xF) * 4
    frame_bytes = ethernet.HEADER_BYTES + total if total else length
    flow = bytes(first[26:34])
    if protocol != ipv4.TCP or fragment & _FRAGMENT_MASK or frame_bytes > length:
        return Parsed(0, length, flow)
    readable = min(frame_bytes, len(first))
    if l4_start + tcp.HEADER_BYTES > readable:
        return Parsed(0, length, flow)
    data_offset = (first[l4_start + 12] >> 4) * 4
    header_bytes = l4_start + data_offset
    if data_offset < tcp.HEADER_BYTES or header_bytes > readable:
        return Parsed(0, length, flow)
    return Parsed(header_bytes, frame_bytes, flow + bytes(first[l4_start : l4_start + 4]), l4_start)
