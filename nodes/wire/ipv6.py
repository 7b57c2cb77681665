"""IPv6 headers (RFC 8200) and fragments: bytes to records and back. Pure; owns nothing.

Extension headers are skipped when they are read; of what is written, only fragments and BIG TCP have one. A
payload length of 0 with a jumbo payload option (RFC 2675) means a packet longer than 65,535 bytes ("BIG
TCP"), as the kernel writes it (ip6_xmit).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from nodes.wire.ip import HOP_LIMIT, IpFragment, IpHeader, Quoted

HEADER_BYTES: Final = 40
PAYLOAD_MAX: Final = 0xFFFF  # without a jumbo payload option
MIN_MTU = 1280
ALL_NODES = 0xFF02 << 112 | 1
_SOLICITED_NODE = 0xFF02 << 112 | 0x1FF000000

# Offsets of fields in the header.
_PAYLOAD_LENGTH: Final = 4
NEXT_HEADER: Final = 6
HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
DESTINATION: Final = 60
EXTENSIONS = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION})
_PAD1, _PADN, _JUMBO = 0, 1, 0xC2
_EXTENSIONS_MAX = 8

_HEADER: Final = struct.Struct("!IHBB16s16s")
# The hop-by-hop header of a BIG TCP packet: next header; its length in units of 8 bytes, the first 8 not
# counted; a jumbo payload option with the length in 4 bytes. Our form has padding before and behind the
# option (Linux accepts 7 bytes of padding in one place). The reason: when a packet of Linux's own form comes
# from a packet socket, Linux removes the header and then finds no length (ipv6_gso_segment).
_LINUX_JUMBO = struct.Struct("!BBBBI")
_OUR_JUMBO = struct.Struct("!BBBBHBBIBBH")
JUMBO_BYTES: Final = _OUR_JUMBO.size
_PADN2 = bytes((_PADN, 2))
_LINUXS_BEFORE, _OURS_BEFORE = bytes((0, _JUMBO, 4)), bytes((1, _PADN, 2, 0, 0, _JUMBO, 4))
_FRAGMENT = struct.Struct("!BxHI")  # next header, offset and M flag, identification
FRAGMENT_KEY_FIELDS = 3  # IpFragment.key: source, destination, identification; IPv4's has the protocol, too


ERRONEOUS_HEADER, UNKNOWN_NEXT_HEADER, UNKNOWN_OPTION = 0, 1, 2  # codes of ICMPv6's parameter problem


@dataclass(frozen=True, slots=True)
class Problem:
    """A parameter problem: its code, and where in the packet it lies. `to_group`: it may be reported though
    the packet went to a multicast address (RFC 4443 section 2.4)."""

    code: int
    pointer: int
    to_group: bool = False


def solicited_node(address: int) -> int:
    """The solicited-node multicast address of `address` (RFC 4291 section 2.7.1)."""
    return _SOLICITED_NODE | address & 0xFFFFFF


def is_solicited_node(address: int) -> bool:
    return address >> 24 == _SOLICITED_NODE >> 24


def is_multicast(address: int) -> bool:
    return address >> 120 == 0xFF


def parse(data: bytes, start: int, available: int) -> IpHeader | None:
    """The header at `data[start]`; from there on the frame has `available` bytes, padding of the link
    included.

    None, for a packet that must be dropped: another version, lengths that contradict each other, extension
    headers out of order, a routing header with segments left, an option that must not be skipped, a fragment
    (see `fragment`), an address in ::/96 other than the source ::.
    """
    if len(data) - start < HEADER_BYTES:
        return None
    word, payload_bytes, protocol, hop_limit, src_bytes, dst_bytes = _HEADER.unpack_from(data, start)
    src, dst = int.from_bytes(src_bytes, "big"), int.from_bytes(dst_bytes, "big")
    if word >> 28 != 6 or 0 < src <= 0xFFFFFFFF or dst <= 0xFFFFFFFF:
        return None
    header_bytes = HEADER_BYTES
    if protocol in EXTENSIONS:
        protocol, end, payload_bytes = _behind_jumbo(data, start + HEADER_BYTES, protocol, payload_bytes)
        walked = _walk(data, end, protocol)
        if walked is None:
            return None
        protocol, end = walked
        header_bytes = end - start
        payload_bytes -= header_bytes - HEADER_BYTES
    if payload_bytes < 0 or header_bytes + payload_bytes > available:
        return None
    return IpHeader(src, dst, protocol, header_bytes, payload_bytes, word >> 20 & 0xFF, hop_limit)


def jumbo(data: bytes, at: int) -> tuple[int, int]:
    """(jumbo payload length, bytes of the hop-by-hop header) of the hop-by-hop header at `at`. (0, 0): the
    header has another form than the kernel's and that of `emit`, or the length needs no jumbo payload
    option."""
    length = size = 0
    if len(data) - at >= 16 and data[at + 1 : at + 8] == _OURS_BEFORE and data[at + 12 : at + 14] == _PADN2:
        length, size = _OUR_JUMBO.unpack_from(data, at)[7], _OUR_JUMBO.size
    elif len(data) - at >= 8 and data[at + 1 : at + 4] == _LINUXS_BEFORE:
        length, size = _LINUX_JUMBO.unpack_from(data, at)[4], _LINUX_JUMBO.size
    return (length, size) if length > PAYLOAD_MAX else (0, 0)  # RFC 2675 section 3


def _behind_jumbo(data: bytes, at: int, protocol: int, payload_bytes: int) -> tuple[int, int, int]:
    """(next header, where it begins, payload bytes) behind a jumbo header at `at`; without one, the
    arguments."""
    if protocol == HOP_BY_HOP and payload_bytes == 0:
        payload_bytes, size = jumbo(data, at)
        if size and data[at] != HOP_BY_HOP:  # a packet has at most one hop-by-hop header
            return data[at], at + size, payload_bytes
    return protocol, at, payload_bytes


def _walk(data: bytes, at: int, protocol: int, limit: int = 0) -> tuple[int, int] | None:
    """Skip the extension headers from `at` on, or the first `limit` of them (0: all). Returns (next header,
    where it begins); None: the packet must be dropped."""
    for count in range(_EXTENSIONS_MAX):
        if protocol not in EXTENSIONS or (limit and count == limit):
            return protocol, at
        if len(data) - at < 8 or (protocol == HOP_BY_HOP and count):
            return None
        size = 8 if protocol == FRAGMENT else 8 + data[at + 1] * 8
        if len(data) - at < size:
            return None
        if protocol == FRAGMENT:
            if data[at + 2] or data[at + 3] & ~0x06:  # an offset or the M flag: not an atomic fragment
                return None
        elif protocol == ROUTING:
            if data[at + 3]:  # segments left, and this host is no router (RFC 8200 section 4.4)
                return None
        elif not _options_known(data[at + 2 : at + size]):
            return None
        protocol, at = data[at], at + size
    return None


def _options_known(options: bytes) -> bool:
    """Whether all options may be skipped: their two highest bits are 0 (RFC 8200 section 4.2)."""
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == _PAD1:
            at += 1
            continue
        if at + 1 >= len(options) or at + 2 + options[at + 1] > len(options):
            return False
        if kind & 0xC0:  # includes a jumbo payload option in another form
            return False
        at += 2 + options[at + 1]
    return True


def packet_bytes(packet: bytes) -> int:
    """How long the header says that the packet is; 0: it is not IPv6, or a jumbogram."""
    if len(packet) < HEADER_BYTES or packet[0] >> 4 != 6:
        return 0
    payload_bytes = int.from_bytes(packet[_PAYLOAD_LENGTH:NEXT_HEADER], "big")
    return payload_bytes and HEADER_BYTES + payload_bytes


def parameter_problem(packet: bytes) -> Problem | None:
    """What RFC 8200 lets a host complain about in `packet`, which begins with its IPv6 header; None: nothing,
    or it is a fragment or cut off."""
    names_next, at, protocol = NEXT_HEADER, HEADER_BYTES, packet[NEXT_HEADER]
    while protocol in EXTENSIONS:
        if len(packet) - at < 8:
            return None
        size = 8 if protocol == FRAGMENT else 8 + packet[at + 1] * 8
        if protocol == HOP_BY_HOP and at != HEADER_BYTES:
            break
        if protocol == ROUTING and packet[at + 3]:
            return Problem(ERRONEOUS_HEADER, at + 2)
        if protocol == FRAGMENT and (packet[at + 2] or packet[at + 3] & ~0x06):
            return None
        if protocol in (HOP_BY_HOP, DESTINATION) and (option := _unknown_option(packet, at + 2, at + size)):
            kind = packet[option]
            return Problem(UNKNOWN_OPTION, option, kind & 0xC0 == 0x80) if kind & 0x80 else None
        names_next, protocol, at = at, packet[at], at + size
    return Problem(UNKNOWN_NEXT_HEADER, names_next)


def fragment_problem(piece: IpFragment) -> Problem | None:
    """What is wrong with a fragment by itself (RFC 8200 section 4.5); it is dropped alone."""
    end = piece.offset + len(piece.data)
    if end > PAYLOAD_MAX:
        return Problem(ERRONEOUS_HEADER, len(piece.header) + 2)
    return Problem(ERRONEOUS_HEADER, _PAYLOAD_LENGTH) if piece.more and end % 8 else None


def _unknown_option(packet: bytes, at: int, end: int) -> int:
    """Where the first option is that must not be skipped; 0: there is none, or the options are cut off."""
    while at < end <= len(packet):
        if packet[at] & 0xC0:
            return at
        at += 1 if packet[at] == _PAD1 else 2 + packet[at + 1] if at + 1 < end else end
    return 0


def upper_layer(packet: bytes) -> tuple[int, int]:
    """(protocol, where it begins) behind all extension headers, whatever is in them."""
    at, protocol = HEADER_BYTES, packet[NEXT_HEADER]
    while protocol in EXTENSIONS and len(packet) - at >= 8:
        size = 8 if protocol == FRAGMENT else 8 + packet[at + 1] * 8
        protocol, at = packet[at], at + size
    return protocol, at


def fragment(data: bytes, start: int, available: int) -> IpFragment | None:
    """The fragment at `data[start]`. None: it is not a fragment, or `parse` would reject the packet
    anyway."""
    if len(data) - start < HEADER_BYTES:
        return None
    word, payload_bytes, protocol, _, src, dst = _HEADER.unpack_from(data, start)
    end = start + HEADER_BYTES + payload_bytes
    if word >> 28 != 6 or end > start + available or end > len(data):
        return None
    names_next, at = start + 6, start + HEADER_BYTES
    while protocol != FRAGMENT:
        walked = _walk(data, at, protocol, 1)
        if walked is None or protocol not in EXTENSIONS:
            return None
        names_next, (protocol, at) = at, walked
    if end - at < 8:
        return None
    following, field, ident = _FRAGMENT.unpack_from(data, at)
    header = bytearray(data[start:at])
    header[names_next - start] = following
    key = int.from_bytes(src, "big"), int.from_bytes(dst, "big"), ident
    return IpFragment(key, field & ~7, bool(field & 1), bytes(header), data[at + 8 : end])


def unfragmented(header: bytes, payload: bytes) -> bytes:
    """The reassembled packet: `header` of one of its fragments, and the data of all of them."""
    length = len(header) - HEADER_BYTES + len(payload)
    return header[:4] + length.to_bytes(2, "big") + header[6:] + payload


def quoted(data: bytes) -> Quoted | None:
    """The header of a packet that an ICMPv6 error quotes; the end of the packet is missing. None: not
    IPv6."""
    if len(data) < HEADER_BYTES:
        return None
    word, payload_bytes, protocol, _, src, dst = _HEADER.unpack_from(data)
    protocol, at, _ = _behind_jumbo(data, HEADER_BYTES, protocol, payload_bytes)
    walked = _walk(data, at, protocol)
    if word >> 28 != 6 or walked is None:
        return None
    return Quoted(int.from_bytes(src, "big"), int.from_bytes(dst, "big"), *walked)


def emit(
    src: int, dst: int, protocol: int, payload_bytes: int, tos: int = 0, hop_limit: int = HOP_LIMIT
) -> bytes:
    """The header of a packet with `payload_bytes` of `protocol`; its flow label is 0. For more than
    PAYLOAD_MAX bytes it has a jumbo payload option, and is JUMBO_BYTES longer."""
    word = 6 << 28 | tos << 20
    ends = src.to_bytes(16, "big"), dst.to_bytes(16, "big")
    if payload_bytes > PAYLOAD_MAX:
        length = JUMBO_BYTES + payload_bytes
        jumbo = _OUR_JUMBO.pack(protocol, 1, _PADN, 2, 0, _JUMBO, 4, length, _PADN, 2, 0)
        return _HEADER.pack(word, 0, HOP_BY_HOP, hop_limit, *ends) + jumbo
    return _HEADER.pack(word, payload_bytes, protocol, hop_limit, *ends)


def fragments(src: int, dst: int, protocol: int, payload: bytes, mtu: int, ident: int) -> list[bytes]:
    """`payload` as packets of at most `mtu` bytes (RFC 8200 section 4.5)."""
    room = (mtu - HEADER_BYTES - _FRAGMENT.size) // 8 * 8
    packets = []
    for at in range(0, len(payload), room):
        piece = payload[at : at + room]
        header = emit(src, dst, FRAGMENT, _FRAGMENT.size + len(piece))
        more = at + room < len(payload)
        packets.append(header + _FRAGMENT.pack(protocol, at | more, ident & 0xFFFFFFFF) + piece)
    return packets
