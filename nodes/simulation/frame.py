"""A frame on a simulated wire, and the time that it takes there.

In: headers and payload from a NIC. Out: what lines, switches and NICs pass on. Owns the bytes. A
super-packet is one frame: it takes the time of the wire packets that TSO makes of it, each with headers of
its own and with what Ethernet adds (IEEE 802.3: preamble and start 8 bytes, FCS 4, gap 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FRAMING_BYTES: Final = 24  # of each wire packet: preamble, start of frame, FCS and gap
_FRAME_MIN: Final = 60  # a shorter frame is padded to it


@dataclass(slots=True, init=False)
class Frame:
    """`header`: all headers, Ethernet's first. `payload`: what follows; None if it is counted and not
    carried. `payload_bytes`: its length. `gso_size`: payload bytes of each wire packet, 0: it is one packet.
    `wire_packets`; `wire_bytes`: for which the line is busy."""

    header: bytes
    payload: bytes | None
    payload_bytes: int
    gso_size: int
    wire_packets: int
    wire_bytes: int

    def __init__(
        self, header: bytes, payload: bytes | None, payload_bytes: int, gso_size: int, wire_packets: int,
        wire_bytes: int,
    ) -> None:  # fmt: skip
        self.header = header
        self.payload = payload
        self.payload_bytes = payload_bytes
        self.gso_size = gso_size
        self.wire_packets = wire_packets
        self.wire_bytes = wire_bytes

    def with_header(self, header: bytes) -> Frame:
        """The same behind another header of that length."""
        return Frame(
            header, self.payload, self.payload_bytes, self.gso_size, self.wire_packets, self.wire_bytes
        )

    @property
    def length(self) -> int:
        """Bytes, as a NIC sees it."""
        return len(self.header) + self.payload_bytes


def frame_of(header: bytes, payload: Sequence[memoryview], gso_size: int, carried: bool) -> Frame:
    """What a NIC sends: its payload is copied, as by DMA, or counted."""
    size = 0
    for piece in payload:
        size += len(piece)
    packets = -(-size // gso_size) if gso_size else 1
    framed = max(packets * len(header) + size, _FRAME_MIN) + packets * FRAMING_BYTES
    return Frame(header, b"".join(payload) if carried else None, size, gso_size, packets, framed)
