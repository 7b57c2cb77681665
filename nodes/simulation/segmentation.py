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
    if frame.wire_packets == 1:
        yield frame
        return
    whole = _whole(frame)
    for number in range(frame.wire_packets):
        yield _part(frame, whole, number, number + 1)


def cut(frame: Frame, packets: int) -> tuple[Frame, Frame]:
    """Its first `packets` wire packets, and the others; there are some of either."""
    whole = _whole(frame)
    return _part(frame, whole, 0, packets), _part(frame, whole, packets, frame.wire_packets)


def first_of(frame: Frame, packets: int) -> Frame:
    """Its first `packets` wire packets; there are others."""
    return _part(frame, _whole(frame), 0, packets)


def _whole(frame: Frame) -> WireFrame:
    payload = frame.payload if frame.payload is not None else bytes(frame.payload_bytes)
    parsed = header_split.parse(frame.header, frame.length)
    return WireFrame(frame.header + payload, len(frame.header), parsed.l4_start, frame.gso_size, True)


def _part(frame: Frame, whole: WireFrame, start: int, stop: int) -> Frame:
    """The wire packets [start, stop)."""
    part = whole.slice(start, stop)
    payload = memoryview(part.data)[part.header_bytes :]
    carried = frame.payload is not None
    return frame_of(bytes(part.data[: part.header_bytes]), [payload], part.gso_size, carried)
