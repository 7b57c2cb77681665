"""ICMPv6 (RFC 4443): echo and errors, bytes to records and back. Pure; owns nothing. `ndisc` has neighbour
discovery."""

from __future__ import annotations

import struct

from nodes.wire.checksum import fold, partial_sum, pseudo_header_sum
from nodes.wire.icmp import IcmpError
from nodes.wire.ip import ICMPV6
from nodes.wire.ipv6 import HEADER_BYTES, MIN_MTU

UNREACHABLE, PACKET_TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM = 1, 2, 3, 4
PORT_UNREACHABLE = 4  # a code of UNREACHABLE
ECHO_REQUEST, ECHO_REPLY = 128, 129
_ERRORS = frozenset({UNREACHABLE, PACKET_TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM})
_HEADER_BYTES = 8
QUOTE_MAX = MIN_MTU - HEADER_BYTES - _HEADER_BYTES

_ERROR = struct.Struct("!BBHI")


def checksum_good(message: bytes, src: int, dst: int) -> bool:
    """Whether the checksum of a whole message from `src` to `dst` is right."""
    return fold(pseudo_header_sum(src, dst, ICMPV6, len(message)) + partial_sum(message)) == 0xFFFF


def with_checksum(message: bytes, src: int, dst: int) -> bytes:
    """`message` with its checksum. The checksum field of `message` must be 0."""
    checksum = ~fold(pseudo_header_sum(src, dst, ICMPV6, len(message)) + partial_sum(message)) & 0xFFFF
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]


def echo_reply(request: bytes, src: int, dst: int) -> bytes | None:
    """The reply, from `dst` to `src`. None: `request` is not an echo request, or its checksum is wrong."""
    if len(request) < 8 or request[0] != ECHO_REQUEST or not checksum_good(request, src, dst):
        return None
    return with_checksum(bytes((ECHO_REPLY, 0, 0, 0)) + request[4:], dst, src)


def parse_error(message: bytes, src: int, dst: int) -> IcmpError | None:
    """The error in `message` from `src`. None: it is not an error, too short, or its checksum is wrong."""
    if len(message) < _HEADER_BYTES or message[0] not in _ERRORS or not checksum_good(message, src, dst):
        return None
    kind, code, _, mtu = _ERROR.unpack_from(message)
    number = mtu if kind in (PACKET_TOO_BIG, PARAMETER_PROBLEM) else 0
    return IcmpError(kind, code, number, message[_HEADER_BYTES:], 0, src)


def emit_error(error: IcmpError, src: int, dst: int) -> bytes:
    """The ICMPv6 message, with at most QUOTE_MAX bytes of the quoted packet."""
    body = _ERROR.pack(error.type, error.code, 0, error.mtu) + error.quote[:QUOTE_MAX]
    return with_checksum(body, src, dst)
