"""The way out of a switch's port: a queue in front of a line.

In: frames that the switch forwards. Out: the same, one after the other, on the line. Owns the queue: first
in, first out, with a limit in bytes; what does not fit is lost and counted (drop-tail). With a threshold the
port marks CE instead, where the packet allows it (RFC 3168, as DCTCP wants it: RFC 8257 section 3.1).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from nodes.simulation.clock import Clock, Event
from nodes.simulation.ecn import is_capable, marked
from nodes.simulation.frame import Frame
from nodes.simulation.line import Line
from nodes.simulation.segmentation import cut

QUEUE_BYTES = 16 << 20  # of each port, as shared-memory switches of today can give one


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Of each port. `ecn_bytes` 0: nothing is marked."""

    bytes: int = QUEUE_BYTES
    ecn_bytes: int = 0


class Output:
    """`queued_max`: bytes that ever waited at once."""

    def __init__(self, clock: Clock, line: Line, limits: QueueLimits) -> None:
        self.line = line
        self.dropped_packets = self.marked_packets = self.queued_max = 0
        self._clock = clock
        self._limits = limits
        self._queue: deque[Frame] = deque()
        self._queued = 0
        self._sending = False

    def send(self, frame: Frame) -> None:
        if self._queued + frame.wire_bytes > self._limits.bytes:
            self.dropped_packets += frame.wire_packets
            return
        if self._limits.ecn_bytes and self._queued + frame.wire_bytes > self._limits.ecn_bytes:
            self._mark(frame)
        else:
            self._put(frame)

    def _mark(self, frame: Frame) -> None:
        """Mark the wire packets that meet more than the threshold. A super-packet is cut before the first of
        them: if all its packets fared as that one does, large super-packets would be marked less than small
        ones, and flows would share unfairly."""
        room = self._limits.ecn_bytes - self._queued
        plain = room * frame.wire_packets // frame.wire_bytes + 1 if room >= 0 else 0
        if plain < frame.wire_packets and is_capable(frame):
            if plain:
                before, frame = cut(frame, plain)
                self._put(before)
            frame = marked(frame)
            self.marked_packets += frame.wire_packets
        self._put(frame)

    def _put(self, frame: Frame) -> None:
        self._queue.append(frame)
        self._queued += frame.wire_bytes
        self.queued_max = max(self.queued_max, self._queued)
        if not self._sending:
            self.next()

    def next(self) -> None:
        """The line has sent the last frame, if there was one: send the next one."""
        self._sending = bool(self._queue)
        if self._queue:
            frame = self._queue.popleft()
            self._queued -= frame.wire_bytes
            self._clock.put(_Sent(self.line.send(frame, 0), self))


class _Sent(Event):
    __slots__ = ("_output",)

    def __init__(self, at_ns: int, output: Output) -> None:
        super().__init__(at_ns)
        self._output = output

    def happen(self) -> None:
        self._output.next()
