"""What IPv4 and IPv6 have in common: addresses, protocol numbers, a header as the stack reads it. Pure.

An address is one integer: below 2**32 IPv4, from there on IPv6, and 0 is "any" in both. What that cannot tell
apart, ::1 and the deprecated IPv4-compatible rest of ::/96 (RFC 4291 section 2.5.5), never crosses a link:
`ipv6.parse` drops it. IPv4-mapped addresses (::ffff:a.b.c.d) are a spelling at the socket, not addresses.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

ICMP, TCP, ICMPV6 = 1, 6, 58  # protocol, next header
HOP_LIMIT = 64
_V4_MAPPED = 0xFFFF


@dataclass(slots=True)
class IpHeader:
    """`protocol` is the upper layer's; `header_bytes` includes options and extension headers,
    `payload_bytes` is what follows. `tos`: type of service, traffic class; `ttl`: hop limit."""

    src: int
    dst: int
    protocol: int
    header_bytes: int
    payload_bytes: int
    tos: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """The packet that an ICMP error is about, as far as it was quoted: addresses, protocol, and where the
    upper layer begins in what was parsed."""

    src: int
    dst: int
    protocol: int
    l4_start: int


@dataclass(frozen=True, slots=True)
class IpFragment:
    """A piece of a packet. `key` is the same for all of its pieces; `offset` in bytes of what was cut;
    `more`: it is not the last; `header`: the packet's, as if it had not been cut but for its length."""

    key: tuple[int, ...]
    offset: int
    more: bool
    header: bytes
    data: memoryview


def is_ipv6(address: int) -> bool:
    return address > 0xFFFFFFFF


def address_int(text: str) -> int:
    """'10.0.0.1' or '2001:db8::1' as an integer; an IPv4-mapped address is the IPv4 address it maps.
    Raises ValueError for what is no address, or one of ::/96 other than ::."""
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
    return str(ipaddress.IPv6Address(address) if is_ipv6(address) else ipaddress.IPv4Address(address))


def mapped_text(address: int) -> str:
    """As a socket of AF_INET6 spells it: IPv4 as ::ffff:a.b.c.d, any as ::."""
    if address == 0:
        return "::"
    return address_text(address) if is_ipv6(address) else f"::ffff:{ipaddress.IPv4Address(address)}"
