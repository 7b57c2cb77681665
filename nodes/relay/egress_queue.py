"""The queue in front of a line of a certain rate, which marks packets by its length (ECN).

In: frames, and when they arrive. Out: the frames that the queue has room for, and when each has left. Owns
when the line is free again; the queue needs no more, since it is served in order. It works on wire packets,
as the port of a switch does: a super-packet is cut where the queue is full, and where marking begins.
Source: RFC 3168 for the marks, RFC 8257 section 3.1 for marking at the arrival, by the queue's own length.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.nic.wire_frame import WireFrame


class EgressQueue:
    """`limit_bytes`: a packet that would make it longer is dropped. `threshold_bytes`: a packet that meets a
    longer one is marked, if its sender is capable of ECN."""

    def __init__(self, rate_bps: float, limit_bytes: int, threshold_bytes: int) -> None:
        self._bytes_per_s = rate_bps / 8
        self._limit = limit_bytes
        self._threshold = threshold_bytes
        self._free_at = 0.0
        self.marked = self.dropped = 0  # wire packets; marked: those that met a longer queue

    def put(self, frame: WireFrame, now: float) -> Iterator[tuple[WireFrame, float]]:
        """What is let in, each with the time at which its last bit has left."""
        self._free_at = max(self._free_at, now)
        met = (self._free_at - now) * self._bytes_per_s
        count = frame.packets
        # The last packet may be shorter, which is left out of account.
        each = len(frame.data) if count == 1 else frame.header_bytes + frame.gso_size
        fits = min(count, max(0, int((self._limit - met) // each)))
        plain = min(fits, max(0, int((self._threshold - met) // each) + 1))
        self.dropped += count - fits
        self.marked += fits - plain
        if plain:
            yield self._leave(frame.slice(0, plain))
        if plain < fits:
            yield self._leave(frame.slice(plain, fits).congestion_experienced())

    def _leave(self, frame: WireFrame) -> tuple[WireFrame, float]:
        headers = (frame.packets - 1) * frame.header_bytes
        self._free_at += (len(frame.data) + headers) / self._bytes_per_s
        return frame, self._free_at
