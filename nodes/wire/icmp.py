"""ICMP for IPv4 (RFC 792): echo and errors, bytes to records and back. Pure; owns nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nodes.wire.checksum import internet_checksum

ECHO_REPLY, ECHO_REQUEST = 0, 8
UNREACHABLE, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 5, 11, 12
PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, FRAGMENTATION_NEEDED = 2, 3, 4  # codes of UNREACHABLE
_ERRORS = frozenset({UNREACHABLE, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})
_HEADER_BYTES = 8  # the quoted packet follows
QUOTE_MAX = 576 - 20 - _HEADER_BYTES  # the IP packet then has at most 576 bytes (RFC 1812 section 4.3.2.3)

_ERROR = struct.Struct("!BBHI")


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An error of ICMP or ICMPv6. `mtu`: of "fragmentation needed" and "packet too big", 0: not given; in a
    "parameter problem" the pointer. `quote`: the beginning of the packet that caused the error. `reporter`:
    who says so; of a redirect, `gateway` is the one to take."""

    type: int
    code: int
    mtu: int
    quote: bytes
    gateway: int = 0
    reporter: int = 0


def echo_reply(request: bytes) -> bytes | None:
    """The reply to `request`. None: it is not an echo request, or its checksum is wrong."""
    if len(request) < 8 or request[0] != ECHO_REQUEST or internet_checksum(request):
        return None
    reply = bytearray(request)
    reply[0] = ECHO_REPLY
    struct.pack_into("!H", reply, 2, 0)
    struct.pack_into("!H", reply, 2, internet_checksum(bytes(reply)))
    return bytes(reply)


def parse_error(message: bytes, reporter: int = 0) -> IcmpError | None:
    """The error, or the redirect, in a `message` from `reporter`. None: it is neither, too short, or its
    checksum is wrong."""
    if len(message) < _HEADER_BYTES or message[0] not in _ERRORS or internet_checksum(message):
        return None
    kind, code, _, rest = _ERROR.unpack_from(message)
    if kind == REDIRECT:
        gateway = int.from_bytes(message[4:_HEADER_BYTES], "big")
        return IcmpError(kind, code, 0, message[_HEADER_BYTES:], gateway, reporter)
    number = 0  # others do not use it (RFC 1191 section 4)
    if kind == PARAMETER_PROBLEM:
        number = rest >> 24
    elif (kind, code) == (UNREACHABLE, FRAGMENTATION_NEEDED):
        number = rest & 0xFFFF
    return IcmpError(kind, code, number, message[_HEADER_BYTES:], 0, reporter)


def emit_error(error: IcmpError) -> bytes:
    """The ICMP message, with at most QUOTE_MAX bytes of the quoted packet."""
    rest = (error.mtu & 0xFF) << 24 if error.type == PARAMETER_PROBLEM else error.mtu
    body = _ERROR.pack(error.type, error.code, 0, rest) + error.quote[:QUOTE_MAX]
    return body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
