"""IPv4 headers (RFC 791) and fragments: bytes to records and back. Pure; owns nothing.

A total length of 0 means a packet longer than 65,535 bytes ("BIG TCP"), whose length the link layer tells, as
in the kernel (iph_totlen, include/linux/ip.h).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from nodes.wire.checksum import internet_checksum
from nodes.wire.ip import HOP_LIMIT, ICMP, TCP, IpFragment, IpHeader, Quoted
from nodes.wire.network_order import BytesWriter, put_u32, u32

__all__ = [
    "HEADER_BYTES", "ICMP", "TCP", "TTL", "address_int", "address_text", "emit", "fragment",
    "fragments", "is_unicast", "parse", "quoted", "unfragmented",
]  # fmt: skip

HEADER_BYTES: Final = 20
DONT_FRAGMENT: Final = 0x4000
_MORE_FRAGMENTS: Final = 0x2000
_FRAGMENT_MASK: Final = 0x3FFF  # the MF flag and the fragment offset
TTL: Final = HOP_LIMIT

_HEADER: Final = struct.Struct("!BBHHHBBHII")


def parse(data: bytes, start: int, available: int) -> IpHeader | None:
    """The header at `data[start]`; from there on the frame has `available` bytes, padding of the link
    included.

    None: another version, lengths that contradict each other, a wrong header checksum, or a fragment (see
    `fragment`).
    """
    if len(data) - start < HEADER_BYTES:
        return None
    # By words of 32 bits: version, header length, type of service and total length; identification and
    # fragment; time to live, protocol and checksum; the addresses.
    first, second, third = u32(data, start), u32(data, start + 4), u32(data, start + 8)
    src, dst = u32(data, start + 12), u32(data, start + 16)
    header_bytes = (first >> 24 & 0xF) * 4
    if first >> 28 != 4 or not HEADER_BYTES <= header_bytes <= len(data) - start or second & _FRAGMENT_MASK:
        return None
    # A checksum that is right makes the sum of 16-bit words a multiple of 0xFFFF. Modulo 0xFFFF 2**16 is 1,
    # so a number is congruent to the sum of its words.
    total_sum = first + second + third + src + dst
    if header_bytes > HEADER_BYTES:
        total_sum += int.from_bytes(data[start + HEADER_BYTES : start + header_bytes], "big")
    if total_sum % 0xFFFF:
        return None
    total = first & 0xFFFF
    if total == 0 and available > 0xFFFF:
        total = available
    if not header_bytes <= total <= available:
        return None
    payload_bytes, tos = total - header_bytes, first >> 16 & 0xFF
    return IpHeader(src, dst, third >> 16 & 0xFF, header_bytes, payload_bytes, tos, third >> 24)


def fragment(data: bytes, start: int, available: int) -> IpFragment | None:
    """The fragment at `data[start]`. None: it is not a fragment, or `parse` would reject the packet
    anyway."""
    if len(data) - start < HEADER_BYTES:
        return None
    version, _, _, ident, frag, *_ = _HEADER.unpack_from(data, start)
    size = (version & 0xF) * 4
    if not frag & _FRAGMENT_MASK or internet_checksum(data[start : start + size]):
        return None
    whole = bytearray(data[start : start + size])
    whole[6:8] = whole[10:12] = b"\0\0"
    whole[10:12] = internet_checksum(bytes(whole)).to_bytes(2, "big")
    found = parse(bytes(whole), 0, available)
    if found is None or len(data) < start + size + found.payload_bytes:
        return None
    key = found.src, found.dst, ident, found.protocol
    piece = data[start + size : start + size + found.payload_bytes]
    offset = (frag & _FRAGMENT_MASK & ~_MORE_FRAGMENTS) * 8
    return IpFragment(key, offset, bool(frag & _MORE_FRAGMENTS), bytes(whole), piece)


def unfragmented(header: bytes, payload: bytes) -> bytes:
    """The reassembled packet: `header` of one of its fragments, and the data of all of them."""
    whole = bytearray(header)
    whole[2:4] = (len(header) + len(payload)).to_bytes(2, "big")
    whole[10:12] = b"\0\0"
    whole[10:12] = internet_checksum(bytes(whole)).to_bytes(2, "big")
    return bytes(whole) + payload


def emit(
    src: int, dst: int, protocol: int, payload_bytes: int, tos: int = 0, ttl: int = TTL, ident: int = 0,
    df: bool = True,
) -> bytes:  # fmt: skip
    """A header without options. With the DF flag the identification may be 0 (RFC 6864)."""
    total = payload_bytes + HEADER_BYTES
    if total > 0xFFFF:
        total = 0
    first, second = (0x4500 | tos) << 16 | total, ident << 16 | (DONT_FRAGMENT if df else 0)
    third = (ttl << 8 | protocol) << 16
    # The folded sum is the sum modulo 0xFFFF, as in `pseudo_header_sum`; the field is its complement.
    total_sum = first + second + third + src + dst
    out = BytesWriter()
    put_u32(out, first)
    put_u32(out, second)
    put_u32(out, third | (0xFFFF - (total_sum % 0xFFFF or 0xFFFF)))
    put_u32(out, src)
    put_u32(out, dst)
    return out.getvalue()


def fragments(
    src: int, dst: int, protocol: int, payload: bytes, mtu: int, ident: int, tos: int = 0
) -> list[bytes]:
    """`payload` as packets of at most `mtu` bytes, one if it fits, which routers may fragment further."""
    room = (mtu - HEADER_BYTES) // 8 * 8
    packets = []
    for at in range(0, len(payload), room):
        piece = payload[at : at + room]
        field = at // 8 | (_MORE_FRAGMENTS if at + room < len(payload) else 0)
        ends = TTL, protocol, 0, src, dst
        header = _HEADER.pack(0x45, tos, HEADER_BYTES + len(piece), ident & 0xFFFF, field, *ends)
        packets.append(header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:] + piece)
    return packets


def quoted(data: bytes) -> Quoted | None:
    """The header of a packet that an ICMP error quotes. The end of the packet is missing, so that lengths and
    checksum are not verified. None: not IPv4, or not the first fragment of a packet."""
    if len(data) < HEADER_BYTES:
        return None
    version, _, _, _, frag, _, protocol, _, src, dst = _HEADER.unpack_from(data)
    header_bytes = (version & 0xF) * 4
    if version >> 4 != 4 or header_bytes < HEADER_BYTES or frag & _FRAGMENT_MASK & ~_MORE_FRAGMENTS:
        return None
    return Quoted(src, dst, protocol, header_bytes)


def is_unicast(address: int) -> bool:
    """Whether `address` is neither 0, nor of a group, reserved or the limited broadcast."""
    return 0 < address < 0xE0000000


def address_int(text: str) -> int:
    """'10.0.0.1' as a 32-bit integer. Raises ValueError."""
    return int(ipaddress.IPv4Address(text))


def address_text(address: int) -> str:
    """A 32-bit integer as '10.0.0.1'."""
    return str(ipaddress.IPv4Address(address))
