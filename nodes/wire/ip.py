"""What IPv4 and IPv6 have in common: addresses, protocol numbers, the fields of a header. Pure; owns nothing.

An address is one integer: IPv4 below 2**32, IPv6 from there on, and 0 is the unspecified address of both.
Addresses of ::/96 cannot be distinguished from IPv4: ::1, and the deprecated IPv4-compatible addresses
(RFC 4291 section 2.5.5). They never cross a link; `ipv6.parse` drops them. An IPv4-mapped address
(::ffff:a.b.c.d) is the IPv4 address, as sockets of AF_INET6 write it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

# Values of "protocol" and "next header".
ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
NO_NEXT_HEADER: Final = 59
HOP_LIMIT: Final = 64
_V4_MAPPED = 0xFFFF


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class IpHeader:
    """The header of an IPv4 or IPv6 packet. `protocol`: of the upper layer. `header_bytes`: with options and
    extension headers. `payload_bytes`: what follows them. `tos`: type of service, or traffic class. `ttl`:
    time to live, or hop limit."""

    src: int
    dst: int
    protocol: int
    header_bytes: int
    payload_bytes: int
    tos: int
    ttl: int

    def __init__(
        self, src: int, dst: int, protocol: int, header_bytes: int, payload_bytes: int, tos: int, ttl: int,
    ) -> None:  # fmt: skip
        self.src = src
        self.dst = dst
        self.protocol = protocol
        self.header_bytes = header_bytes
        self.payload_bytes = payload_bytes
        self.tos = tos
        self.ttl = ttl


@dataclass(frozen=True, slots=True)
class Quoted:
    """What an ICMP error quotes of the packet that caused it. `l4_start`: where the upper layer begins in the
    quote."""

    src: int
    dst: int
    protocol: int
    l4_start: int


@dataclass(frozen=True, slots=True)
class IpFragment:
    """A fragment of a packet. `key`: the same in all fragments of a packet. `offset`: of `data` in the
    payload of the packet, in bytes. `more`: the MF flag, further fragments follow. `header`: of the packet
    before it was fragmented, except for its length."""

    key: tuple[int, ...]
    offset: int
    more: bool
    header: bytes
    data: bytes


def is_ipv6(address: int) -> bool:
    """Whether `address` is IPv6 and not IPv4 or unspecified."""
    return address > 0xFFFFFFFF


def destination(packet: bytes) -> int:
    """Of a packet whose header is whole."""
    return int.from_bytes(packet[24:40] if packet[0] >> 4 == 6 else packet[16:20], "big")


def address_int(text: str) -> int:
    """'10.0.0.1' or '2001:db8::1' as an integer; of an IPv4-mapped address, its IPv4 address. Raises
    ValueError for text that is not an address, and for addresses of ::/96 other than ::."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return int(address)
    value = int(address)
    if value >> 32 == _V4_MAPPED:
        return value & 0xFFFFFFFF
    if 0 < value <= 0xFFFFFFFF:
        raise ValueError(f"{text!r} is in ::/96, which no link carries")
    return value


def address_text(address: int) -> str:
    """'10.0.0.1' or '2001:db8::1'."""
    return str(ipaddress.IPv6Address(address) if is_ipv6(address) else ipaddress.IPv4Address(address))


def mapped_text(address: int) -> str:
    """As a socket of AF_INET6 writes the address: IPv4 as ::ffff:a.b.c.d, the unspecified address as ::."""
    if address == 0:
        return "::"
    return address_text(address) if is_ipv6(address) else f"::ffff:{ipaddress.IPv4Address(address)}"
