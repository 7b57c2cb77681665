"""ICMP echo (RFC 792): parse and emit. Pure."""

from __future__ import annotations

import struct

from nodes.wire.checksum import internet_checksum

ECHO_REPLY, ECHO_REQUEST = 0, 8


def echo_reply(request: memoryview) -> bytes | None:
    """The answer to an ICMP message, None when it is no echo request or its checksum is bad."""
    if len(request) < 8 or request[0] != ECHO_REQUEST or internet_checksum(request):
        return None
    reply = bytearray(request)
    reply[0] = ECHO_REPLY
    struct.pack_into("!H", reply, 2, 0)
    struct.pack_into("!H", reply, 2, internet_checksum(bytes(reply)))
    return bytes(reply)
