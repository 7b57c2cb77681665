"""A super-packet as the wire packets that TSO makes of it, each a frame.

In: a frame. Out: frames with headers of their own, which together carry its bytes. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.nic import header_split
from nodes.nic.wire_frame import WireFrame
from nodes.simulation.frame import Frame, frame_of


def wire_packets(frame: Frame) -> Iterator[Frame]:
    """The frame itself if it is one packet."""
    size = frame.gso_size
    if frame.wire_packets == 1:
        yield frame
        return
    carried = frame.payload is not None
    payload = frame.payload if frame.payload is not None else bytes(frame.payload_bytes)
    parsed = header_split.parse(frame.header, frame.length)
    whole = WireFrame(frame.header + payload, len(frame.header), parsed.l4_start, size, True)
    for number in range(frame.wire_packets):
        packet = whole.slice(number, number + 1)
        part = memoryview(packet.data)[packet.header_bytes :]
        yield frame_of(bytes(packet.data[: packet.header_bytes]), [part], 0, carried)
