"""The way out of a switch's port: a queue in front of a line.

In: frames that the switch forwards. Out: the same, one after the other, on the line. Owns the queue: first
in, first out, with a limit in bytes; what does not fit is lost and counted (drop-tail). With a threshold the
port marks CE instead, where the packet allows it (RFC 3168, as DCTCP wants it: RFC 8257 section 3.1).

Of a super-packet the wire packets are queued that fit, and those behind them are lost. It comes whole, with
its last bit, and until then the port has sent from its queue what it can send while the train of wire packets
arrives: so the queue is as long behind it as behind the train, and as many packets are lost. Which ones
differs where trains come at the same time: theirs would take turns for the room, of super-packets the first
gets it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from nodes.simulation.clock import Clock, Event
from nodes.simulation.ecn import is_capable, marked
from nodes.simulation.frame import FRAMING_BYTES, Frame
from nodes.simulation.line import Line
from nodes.simulation.segmentation import cut, first_of

QUEUE_BYTES = 16 << 20  # of each port, as shared-memory switches of today can give one


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Of each port. `ecn_bytes` 0: nothing is marked."""

    bytes: int = QUEUE_BYTES
    ecn_bytes: int = 0


class Output:
    """`queued_max`: bytes that ever waited at once. `dropped_packets` and `dropped_bytes`: of wire packets,
    bytes with framing."""

    def __init__(self, clock: Clock, line: Line, limits: QueueLimits) -> None:
        self.line = line
        self.dropped_packets = self.dropped_bytes = self.marked_packets = self.queued_max = 0
        self._clock = clock
        self._limits = limits
        self._queue: deque[Frame] = deque()
        self._queued = 0
        self._sending = False

    def send(self, frame: Frame) -> None:
        if self._queued + frame.wire_bytes > self._limits.bytes:
            kept = self._kept(frame)
            if kept is None:
                return
            frame = kept
        if self._limits.ecn_bytes and self._queued + frame.wire_bytes > self._limits.ecn_bytes:
            self._mark(frame)
        else:
            self._put(frame)

    def _kept(self, frame: Frame) -> Frame | None:
        """What the queue has room for of a frame that does not fit; the rest is lost."""
        packet = len(frame.header) + frame.gso_size + FRAMING_BYTES
        packets = (self._limits.bytes - self._queued) // packet if frame.gso_size else 0
        kept = first_of(frame, packets) if packets else None
        self.dropped_packets += frame.wire_packets - packets
        self.dropped_bytes += frame.wire_bytes - (kept.wire_bytes if kept else 0)
        return kept

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
