"""Neighbour solicitation and advertisement (RFC 4861 sections 4.3, 4.4, 7.1): bytes to records and back.
Pure; owns nothing.

The bytes are whole ICMPv6 messages. The caller verifies the checksum of a received message and fills in that
of a sent one (`icmpv6.checksum_good`, `icmpv6.with_checksum`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nodes.wire import ipv6
from nodes.wire.ip import IpHeader

SOLICITATION, ADVERTISEMENT = 135, 136
HOP_LIMIT = 255  # of every message; a lower one shows that a router forwarded it
_SOURCE_MAC, _TARGET_MAC = 1, 2  # options
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_MESSAGE = struct.Struct("!BBHI16s")
_MAC_OPTION = struct.Struct("!BB6s")


@dataclass(frozen=True, slots=True)
class Solicitation:
    """Asks for the MAC address of `target`. `mac`: of the sender; None: the option is absent."""

    target: int
    mac: bytes | None


@dataclass(frozen=True, slots=True)
class Advertisement:
    """`target` has the MAC address `mac`; None: the option is absent. `solicited`: it answers a solicitation.
    `override`: it replaces a cached address."""

    target: int
    mac: bytes | None
    solicited: bool
    override: bool


def parse(message: bytes) -> Solicitation | Advertisement | None:
    """The message without its checksum verified. None: another message, or invalid by section 7.1;
    `plausible` checks what that section requires of the IP header."""
    if len(message) < _MESSAGE.size or message[0] not in (SOLICITATION, ADVERTISEMENT):
        return None
    kind, code, _, flags, target = _MESSAGE.unpack_from(message)
    wanted = _SOURCE_MAC if kind == SOLICITATION else _TARGET_MAC
    mac: bytes | None = None
    at = _MESSAGE.size
    while at < len(message):
        size = message[at + 1] * 8 if at + 1 < len(message) else 0
        if size == 0 or at + size > len(message):
            return None
        if message[at] == wanted:
            mac = message[at + 2 : at + 8]
        at += size
    if code or target[0] == 0xFF:
        return None
    address = int.from_bytes(target, "big")
    if kind == SOLICITATION:
        return Solicitation(address, mac)
    return Advertisement(address, mac, bool(flags & _SOLICITED), bool(flags & _OVERRIDE))


def plausible(packet: Solicitation | Advertisement, header: IpHeader) -> bool:
    """Whether the IP header of the message is valid by section 7.1."""
    if header.ttl != HOP_LIMIT:
        return False
    if isinstance(packet, Advertisement):
        return not (packet.solicited and ipv6.is_multicast(header.dst))
    return bool(header.src) or (packet.mac is None and ipv6.is_solicited_node(header.dst))


def emit(packet: Solicitation | Advertisement) -> bytes:
    """The message. Its checksum field is 0."""
    target = packet.target.to_bytes(16, "big")
    if isinstance(packet, Solicitation):
        kind, flags, option = SOLICITATION, 0, _SOURCE_MAC
    else:
        flags = _SOLICITED * packet.solicited | _OVERRIDE * packet.override
        kind, option = ADVERTISEMENT, _TARGET_MAC
    message = _MESSAGE.pack(kind, 0, 0, flags, target)
    return message if packet.mac is None else message + _MAC_OPTION.pack(option, 1, packet.mac)
