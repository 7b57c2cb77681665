"""One direction of a simulated line: a rate, a propagation delay, and the frames in between.

In: frames from the NIC or the switch port at its head. Out: the same, each at the time at which its last bit
has arrived. Owns the time until which the sender is busy. A line that is up loses nothing: what has no room
waits in front of it, in a NIC or in the queue of a switch port.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.simulation.clock import NS_PER_S, Clock, Event
from nodes.simulation.frame import Frame
from nodes.simulation.journal import LineJournal

Deliver = Callable[[Frame], None]


class Line:
    """`bits_per_second` 0: no limit. `carried_bytes` and `carried_packets` count what was sent: bytes with
    framing, packets as the wire has them. `journal`: is told of each frame when it begins. `lost_packets`:
    while it was down."""

    def __init__(
        self,
        clock: Clock,
        bits_per_second: int,
        propagation_ns: int,
        deliver: Deliver,
        journal: LineJournal | None = None,
    ) -> None:
        self._journal = journal
        self.bits_per_second = bits_per_second
        self.propagation_ns = propagation_ns
        self.carried_bytes = self.carried_packets = self.lost_packets = 0
        self.free_at_ns = 0
        self.up = True
        self._clock = clock
        self._deliver = deliver

    def time_ns(self, wire_bytes: int) -> int:
        """For how long so many bytes keep the line busy."""
        rate = self.bits_per_second
        return (wire_bytes * 8 * NS_PER_S + rate - 1) // rate if rate else 0

    def send(self, frame: Frame, not_before_ns: int) -> int:
        """Send the frame, behind what is being sent; returns when the line is free again. What begins on a
        line that is down is lost, and so is what would arrive on it."""
        if not self.up:
            self.lost_packets += frame.wire_packets
            return self.free_at_ns
        begin = self._clock.now_ns  # `max` of three would be a call, with the numbers as objects
        if begin < self.free_at_ns:
            begin = self.free_at_ns
        if begin < not_before_ns:
            begin = not_before_ns
        if self._journal is not None:
            self._journal.began(begin, frame)
        self.free_at_ns = begin + self.time_ns(frame.wire_bytes)
        self.carried_bytes += frame.wire_bytes
        self.carried_packets += frame.wire_packets
        self._clock.put(_Arrival(self.free_at_ns + self.propagation_ns, self, frame))
        return self.free_at_ns

    def arrive(self, frame: Frame) -> None:
        """The last bit of the frame has come."""
        if self.up:
            self._deliver(frame)
        else:
            self.lost_packets += frame.wire_packets


class _Arrival(Event):
    __slots__ = ("_frame", "_line")

    def __init__(self, at_ns: int, line: Line, frame: Frame) -> None:
        super().__init__(at_ns)
        self._line = line
        self._frame = frame

    def happen(self) -> None:
        self._line.arrive(self._frame)
