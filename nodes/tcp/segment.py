"""What TCP exchanges with the layers around it: a header, and a payload that TCP cannot read.

In: parsed segments from `nodes.sock`. Out: segments for `nodes.sock` to emit. The payload is opaque, as the
kernel's unreadable skb is: TCP may ask its length, cut it, join it and release it, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, Self

from mypy_extensions import mypyc_attr

from nodes.wire.tcp import TcpHeader


class Payload(Protocol):
    """References to bytes that are stored elsewhere. Its holder calls `release` exactly once, or passes the
    object on to another holder."""

    def __len__(self) -> int:
        """Length in bytes, never 0."""

    @property
    def truesize(self) -> int:
        """Bytes of memory that it is charged with when it is queued for sending (skb->truesize)."""

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffers that the NIC has filled with it."""

    def slice(self, start: int, stop: int) -> Self:
        """A new payload of bytes [start, stop) with references of its own; 0 <= start < stop <= len."""

    def alike(self, other: Self) -> bool:
        """Whether both are of the kind that may lie in one segment (readable and unreadable bytes never
        mix)."""

    def can_extend(self, other: Self) -> bool:
        """Whether `other` may follow in one segment: it is alike, and there is room for its fragments."""

    def extend(self, other: Self) -> None:
        """Append `other`'s bytes and take over its references; `other` must not be used again."""

    def release(self) -> None:
        """Give the references back; this payload must not be used again."""


# The IP header's two ECN bits (RFC 3168 section 5).
NOT_ECT: Final = 0
ECT1: Final = 1
ECT0: Final = 2
CE: Final = 3


@mypyc_attr(free_list_len=1)
@dataclass(slots=True, init=False)
class Segment:
    """One segment, or one super-segment: the NIC will cut it every `mss` payload bytes (TSO), or has
    coalesced it from packets of that size (GRO). `payload` is None without payload; the segment owns it."""

    header: TcpHeader
    payload: Payload | None = None
    mss: int = 0  # payload bytes of one wire packet; 0: one wire packet carries it all
    ecn: int = NOT_ECT  # the ECN bits of the IP header that it came with or will leave with
    scarce: bool = False  # it lies in one of the last buffers of its rx queue (as skb->pfmemalloc tells)

    def __init__(
        self, header: TcpHeader, payload: Payload | None = None, mss: int = 0, ecn: int = NOT_ECT,
        scarce: bool = False,
    ) -> None:  # fmt: skip
        self.header = header
        self.payload = payload
        self.mss = mss
        self.ecn = ecn
        self.scarce = scarce

    @property
    def length(self) -> int:
        """SEG.LEN of RFC 9293: payload bytes plus SYN plus FIN."""
        flags = self.header.flags
        return (len(self.payload) if self.payload is not None else 0) + (flags & 1) + (flags >> 1 & 1)

    def drop(self) -> None:
        """Release the payload: it is not delivered."""
        if self.payload is not None:
            self.payload.release()
            self.payload = None
