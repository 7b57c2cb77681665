"""A simulated switch: it forwards by MAC address, and queues what an output line cannot take at once.

In: frames from its ports. Out: frames to the lines of other ports. Owns the forwarding table, which it learns
from sources (IEEE 802.1D), and an Output for each port.
"""

from __future__ import annotations

from nodes.simulation.clock import Clock
from nodes.simulation.frame import Frame
from nodes.simulation.line import Line
from nodes.simulation.output import Output, QueueLimits


class Switch:
    """Ports are numbered in the order in which they are added."""

    def __init__(self, clock: Clock, limits: QueueLimits | None = None) -> None:
        self._clock = clock
        self._limits = limits or QueueLimits()
        self.outputs: list[Output] = []
        self._port_of: dict[bytes, int] = {}

    def add_port(self, line: Line, limits: QueueLimits | None = None) -> int:
        """`line`: out of the new port; `limits`: of its queue, None for the switch's. Returns its number."""
        self.outputs.append(Output(self._clock, line, limits or self._limits))
        return len(self.outputs) - 1

    def deliver(self, port: int, frame: Frame) -> None:
        """A frame has arrived at that port."""
        self._port_of[frame.header[6:12]] = port
        self.forward(frame, port)

    def forward(self, frame: Frame, came_from: int | None = None) -> None:
        """Send a frame on; one to a MAC that is not known goes out of all ports but the one it came from."""
        to = frame.header[:6]
        out = None if to[0] & 1 else self._port_of.get(to)
        if out is not None:
            if out != came_from:
                self.outputs[out].send(frame)
            return
        for number, output in enumerate(self.outputs):
            if number != came_from:
                output.send(frame)
