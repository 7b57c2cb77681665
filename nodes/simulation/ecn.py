"""The congestion mark of a switch: CE in the IP header of a frame (RFC 3168 section 5).

In: frames. Out: the same, or marked ones. Owns nothing.
"""

from __future__ import annotations

from nodes.simulation.frame import Frame
from nodes.wire import ethernet
from nodes.wire.checksum import internet_checksum
from nodes.wire.ipv4 import HEADER_BYTES

_CE = 3
_AT = ethernet.HEADER_BYTES
_BYTE = _AT + 1  # of IPv4 the type of service; of IPv6 the traffic class lies across two bytes
_TYPES = {ethernet.TYPE_IPV4.to_bytes(2, "big"): 0, ethernet.TYPE_IPV6.to_bytes(2, "big"): 4}


def is_capable(frame: Frame) -> bool:
    """Whether its sender understands ECN."""
    shift = _TYPES.get(frame.header[12:14])
    return shift is not None and bool(frame.header[_BYTE] >> shift & _CE)


def marked(frame: Frame) -> Frame:
    """A capable frame with CE."""
    header = frame.header
    shift = _TYPES[header[12:14]]
    changed = bytearray(header)
    changed[_BYTE] |= _CE << shift
    if not shift:
        changed[_AT + 10 : _AT + 12] = bytes(2)
        length = (header[_AT] & 15) * 4 or HEADER_BYTES
        checksum = internet_checksum(bytes(changed[_AT : _AT + length]))
        changed[_AT + 10 : _AT + 12] = checksum.to_bytes(2, "big")
    return frame.with_header(bytes(changed))
