"""The NIC's parser: where the headers of a frame end, and to which flow it belongs.

In: a frame's first bytes. Out: the length of the headers for TCP over IPv4, and over IPv6 without extension
headers other than BIG TCP's jumbo option; 0 for a frame that cannot be split, which goes to host memory
whole. Owns nothing; reads headers only.
Source: Documentation/networking/devmem.rst, which says what header split a NIC must have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from nodes.wire import ethernet, ip, ipv4, ipv6, tcp
from nodes.wire.network_order import u16

_L4_START: Final = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES
_L4_START_V6: Final = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES
_FRAGMENT_MASK: Final = 0x3FFF


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class Parsed:
    """`header_bytes`: length of all headers; 0: the frame cannot be split. `frame_bytes`: without the padding
    of short Ethernet frames. `flow`: source address, destination address, source port, destination port as
    bytes of the frame; addresses and protocol if the ports of TCP are not to be found, b'' if it is not IP.
    `l4_start`: where TCP begins."""

    header_bytes: int
    frame_bytes: int
    flow: bytes
    l4_start: int = 0

    def __init__(self, header_bytes: int, frame_bytes: int, flow: bytes, l4_start: int = 0) -> None:
        self.header_bytes = header_bytes
        self.frame_bytes = frame_bytes
        self.flow = flow
        self.l4_start = l4_start


def flow_of(src: tuple[int, int], dst: tuple[int, int]) -> bytes:
    """`flow` of TCP packets from `src` to `dst`, each (address as in wire.ip, port)."""
    width = 16 if ip.is_ipv6(src[0]) else 4
    addresses = src[0].to_bytes(width, "big") + dst[0].to_bytes(width, "big")
    return addresses + src[1].to_bytes(2, "big") + dst[1].to_bytes(2, "big")


def parse(head: bytes, length: int) -> Parsed:
    """`head`: the first bytes of a frame of `length` bytes (wire_port.RxFrame)."""
    if length < _L4_START:
        return Parsed(0, length, b"")
    ethertype = ethernet.ethertype(head)
    if ethertype != ethernet.TYPE_IPV4:
        return _parse_ipv6(head, length) if ethertype == ethernet.TYPE_IPV6 else Parsed(0, length, b"")
    version = head[14]
    if version >> 4 != 4 or version & 0xF < 5:
        return Parsed(0, length, b"")
    total, fragment, protocol, flow = u16(head, 16), u16(head, 20), head[23], head[26:34]
    l4_start = ethernet.HEADER_BYTES + (version & 0xF) * 4
    frame_bytes = ethernet.HEADER_BYTES + total if total else length
    if protocol != ip.TCP or fragment & _FRAGMENT_MASK or frame_bytes > length:
        return Parsed(0, length, flow + bytes((protocol,)))
    return _parse_tcp(head, l4_start, Parsed(0, frame_bytes, flow), length)


def _parse_ipv6(head: bytes, length: int) -> Parsed:
    if length < _L4_START_V6 or head[14] >> 4 != 6:
        return Parsed(0, length, b"")
    payload_bytes, protocol = u16(head, 18), head[20]
    l4_start = _L4_START_V6
    if protocol == ipv6.HOP_BY_HOP and payload_bytes == 0 and length > ipv6.PAYLOAD_MAX:
        payload_bytes, size = ipv6.jumbo(head, l4_start)
        protocol, l4_start = head[l4_start] if size else protocol, l4_start + size
    flow, frame_bytes = head[22:54], _L4_START_V6 + payload_bytes
    if protocol != ip.TCP or frame_bytes > length:
        return Parsed(0, length, flow + bytes((protocol,)))
    return _parse_tcp(head, l4_start, Parsed(0, frame_bytes, flow), length)


def _parse_tcp(head: bytes, l4_start: int, parsed: Parsed, length: int) -> Parsed:
    """Complete `parsed` by the TCP header at `l4_start`. A header that is not wholly within the packet and
    within `head` is not split."""
    readable, flow = min(parsed.frame_bytes, len(head)), parsed.flow
    if l4_start + tcp.HEADER_BYTES <= readable:
        header_bytes = l4_start + (head[l4_start + 12] >> 4) * 4
        if l4_start + tcp.HEADER_BYTES <= header_bytes <= readable:
            parsed.header_bytes = header_bytes
            parsed.flow = flow + head[l4_start : l4_start + 4]
            parsed.l4_start = l4_start
            return parsed
    return Parsed(0, length, flow + bytes((ip.TCP,)))
