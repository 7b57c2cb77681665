"""UDP datagrams (RFC 768): whether one is intact. Pure; owns nothing. No port of UDP is open here."""

from __future__ import annotations

from nodes.wire import ip
from nodes.wire.checksum import fold, partial_sum, pseudo_header_sum

HEADER_BYTES = 8


def is_intact(datagram: bytes, src: int, dst: int) -> bool:
    """Whether length and checksum are right; over IPv4 the checksum may be 0, for none."""
    if len(datagram) < HEADER_BYTES:
        return False
    length = int.from_bytes(datagram[4:6], "big")
    if not HEADER_BYTES <= length <= len(datagram):
        return False
    if not any(datagram[6:8]):
        return not ip.is_ipv6(dst)
    return fold(pseudo_header_sum(src, dst, ip.UDP, length) + partial_sum(datagram[:length])) == 0xFFFF
