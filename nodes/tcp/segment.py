"""What TCP exchanges with its neighbours: a header and a payload it cannot read.

In from `sock.inet` (parsed), out to `sock.inet` (to be emitted). The payload is opaque, as the
kernel's unreadable skb is: TCP may ask its length, cut it, join it and give it back, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from nodes.wire.tcp import TcpHeader


class Payload(Protocol):
    """References to bytes that lie elsewhere. Who holds one owes exactly one `release` (or hands it on)."""

    def __len__(self) -> int:
        """Length in bytes, never 0."""

    def slice(self, start: int, stop: int) -> Self:
        """A new holder of bytes [start, stop), with references of its own; 0 <= start < stop <= len."""

    def can_extend(self, other: Self) -> bool:
        """Whether `other` may follow in one segment (readable and unreadable bytes never mix)."""

    def extend(self, other: Self) -> None:
        """Append `other`'s bytes and take over its references; `other` must not be used again."""

    def release(self) -> None:
        """Give the references back; the holder must not be used again."""


NOT_ECT, ECT1, ECT0, CE = range(4)  # the IP header's two ECN bits (RFC 3168 section 5)


@dataclass(slots=True)
class Segment:
    """One segment, or one super-segment that the NIC cuts every `mss` payload bytes (TSO) or has
    coalesced from such. `payload` is None when there is none; the segment owns it."""

    header: TcpHeader
    payload: Payload | None = None
    mss: int = 0  # bytes of payload in one wire packet, 0: not to be cut
    ecn: int = NOT_ECT  # as the IP header has it or should have it

    @property
    def length(self) -> int:
        """SEG.LEN of RFC 9293: payload bytes plus SYN plus FIN."""
        flags = self.header.flags
        return (len(self.payload) if self.payload is not None else 0) + (flags & 1) + (flags >> 1 & 1)

    def drop(self) -> None:
        """Give the payload back: nobody takes it."""
        if self.payload is not None:
            self.payload.release()
            self.payload = None
