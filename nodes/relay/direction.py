"""One direction of a relayed link: its queue if it has one, then what the line does to frames.

In: frames, and when they arrive. Out: those that have come to the other end. Owns the frames in transit. Told
the time; a frame's departure from the queue is known when it arrives, so the line takes it at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from nodes.nic.impairment import ImpairedDirection
from nodes.nic.wire_frame import WireFrame
from nodes.relay.config import RelayWay
from nodes.relay.egress_queue import EgressQueue


class Direction:
    """From the interface `sender` on. Directions with the same seed see different events."""

    def __init__(self, config: RelayWay, sender: str) -> None:
        impairment = config.impairment
        self._line = ImpairedDirection(impairment, random.Random(f"{impairment.seed} {sender}"))
        self._queue: EgressQueue | None = None
        if config.rate_bps:
            self._queue = EgressQueue(config.rate_bps, config.queue_bytes, config.ecn_threshold_bytes)

    def bypass(self, packets: int) -> bool:
        """Whether a frame of `packets` packets passes at once and unchanged; it is counted, then."""
        passes = self._queue is None and self._line.may_bypass(packets)
        if passes:
            self._line.count_bypass(packets)
        return passes

    def put(self, frame: WireFrame, now: float) -> None:
        """A frame arrives."""
        if self._queue is None:
            self._line.put(frame, now)
            return
        for part, left_at in self._queue.put(frame, now):
            self._line.put(part, left_at)

    def take(self, now: float) -> Iterator[WireFrame]:
        """The frames that have come to the other end."""
        return self._line.take(now)

    def next_timeout(self) -> float | None:
        """When `take` has a frame next; None: the line is empty."""
        return self._line.next_timeout()

    def summary(self) -> str:
        """What has happened to its wire packets."""
        queue = (
            f" {self._queue.dropped} dropped, {self._queue.marked} marked by the queue,"
            if self._queue
            else ""
        )
        counted = self._line.counters
        return (
            f"{counted.packets} packets,{queue} {counted.lost} lost, {counted.reordered} reordered, "
            f"{counted.duplicated} duplicated, {counted.corrupted} corrupted, {counted.overflowed} overflowed"
        )
