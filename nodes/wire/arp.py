"""ARP for IPv4 over Ethernet (RFC 826): bytes to an Arp and back. Pure; owns nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass

REQUEST, REPLY = 1, 2
_PACKET = struct.Struct("!HHBBH6sI6sI")
_ETHERNET_IPV4 = (1, 0x0800, 6, 4)


@dataclass(frozen=True, slots=True)
class Arp:
    """MAC addresses have six bytes, IPv4 addresses are 32-bit integers."""

    operation: int
    sender_mac: bytes
    sender_ip: int
    target_mac: bytes
    target_ip: int


def parse(data: bytes, start: int) -> Arp | None:
    """The packet at `data[start]`. None: it is too short, or not for IPv4 over Ethernet."""
    if len(data) - start < _PACKET.size:
        return None
    *kind, operation, sender_mac, sender_ip, target_mac, target_ip = _PACKET.unpack_from(data, start)
    if tuple(kind) != _ETHERNET_IPV4:
        return None
    return Arp(operation, sender_mac, sender_ip, target_mac, target_ip)


def emit(arp: Arp) -> bytes:
    """The packet, 28 bytes."""
    return _PACKET.pack(
        *_ETHERNET_IPV4, arp.operation, arp.sender_mac, arp.sender_ip, arp.target_mac, arp.target_ip
    )
