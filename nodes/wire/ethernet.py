"""Ethernet II headers (IEEE 802.3): bytes to fields and back. Pure; owns nothing."""

from __future__ import annotations

from typing import Final

from nodes.wire.network_order import BytesWriter, put_u16, u16

HEADER_BYTES: Final = 14
TYPE_IPV4: Final = 0x0800
TYPE_ARP: Final = 0x0806
TYPE_IPV6: Final = 0x86DD
_TYPE: Final = 12  # where it lies
BROADCAST: Final = b"\xff" * 6


def parse(data: bytes) -> tuple[bytes, bytes, int]:
    """Destination, source and EtherType of a frame, which has at least 14 bytes."""
    return data[:6], data[6:12], ethertype(data)


def ethertype(data: bytes) -> int:
    """The EtherType of a frame, which has at least 14 bytes."""
    return u16(data, _TYPE)


def emit(destination: bytes, source: bytes, ethertype: int) -> bytes:
    """The header, 14 bytes."""
    out = BytesWriter()
    out.write(destination)
    out.write(source)
    put_u16(out, ethertype)
    return out.getvalue()


def multicast_of(address: int) -> bytes:
    """The multicast MAC address of an IPv6 multicast address (RFC 2464 section 7)."""
    return b"\x33\x33" + (address & 0xFFFFFFFF).to_bytes(4, "big")


def mac_bytes(text: str) -> bytes:
    """'02:00:00:00:00:01' as six bytes. Raises ValueError."""
    mac = bytes.fromhex(text.replace(":", ""))
    if len(mac) != 6:
        raise ValueError(f"MAC address {text!r} has {len(mac)} bytes, not 6")
    return mac


def mac_text(mac: bytes) -> str:
    """Six bytes as '02:00:00:00:00:01'."""
    return mac.hex(":")
