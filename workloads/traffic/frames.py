"""The first bytes of a flow or datagram: which traffic it is.

In: an entry's number, a flow's size, when it began. Out: bytes, and back. Owns the layout. Both processes are
on one machine, whose monotonic clock they share.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!IQd")
HEADER_BYTES = _HEADER.size


class Header(NamedTuple):
    """`size_bytes` of the flow, this header included; 0: it has no end. `began_s`: monotonic."""

    entry: int
    size_bytes: int
    began_s: float


def emit(header: Header) -> bytes:
    return _HEADER.pack(*header)


def parse(data: bytes | memoryview) -> Header:
    """Of HEADER_BYTES bytes or more."""
    return Header(*_HEADER.unpack_from(data))
