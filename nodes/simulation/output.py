"""The way out of a switch's port: a queue in front of a line.

In: frames that the switch forwards. Out: the same, one after the other, on the line. Owns the queue: first
in, first out, with a limit in bytes; what does not fit is lost and counted (drop-tail). With a threshold the
port marks CE instead, where the packet allows it (RFC 3168, as DCTCP wants it: RFC 8257 section 3.1).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from nodes.simulation.clock import Clock, Event
from nodes.simulation.ecn import marked
from nodes.simulation.frame import Frame
from nodes.simulation.line import Line

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
        if self._limits.ecn_bytes and self._queued > self._limits.ecn_bytes:
            frame, is_marked = marked(frame)
            self.marked_packets += frame.wire_packets * is_marked
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
