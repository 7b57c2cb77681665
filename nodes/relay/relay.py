"""A link's middle: what one port hears, the other sends, as a link of its kind would carry it.

In: frames of two ports; readiness and the time, from the loop. Out: frames to the opposite port. Owns the two
directions. A frame to which nothing happens is sent from the buffer it was read into.
"""

from __future__ import annotations

from typing import Protocol

from nodes.nic.wire_frame import WireFrame
from nodes.relay.arrival import Arrival
from nodes.relay.config import RelayConfig
from nodes.relay.direction import Direction

_BATCH = 16  # frames read from one port before what is due is sent


class RelayPort(Protocol):
    """nodes.relay.port.Port has the contracts."""

    def receive(self) -> Arrival | None: ...

    def forward(self, arrival: Arrival) -> None: ...

    def send(self, frame: WireFrame) -> None: ...


class Relay:
    """`ports`: of `config.interfaces`, in their order."""

    def __init__(self, config: RelayConfig, ports: tuple[RelayPort, RelayPort]) -> None:
        self._ports = ports
        ways = zip(config.ways, config.interfaces, strict=True)
        self.directions = tuple(Direction(way, interface) for way, interface in ways)
        self.unknown = 0  # super-packets whose wire packets cannot be told; dropped

    def receive(self, number: int) -> None:
        """Port `number` has frames."""
        port, opposite, direction = self._ports[number], self._ports[1 - number], self.directions[number]
        for _ in range(_BATCH):
            arrival = port.receive()
            if arrival is None:
                return
            parsed = arrival.parse()
            if parsed is None:
                self.unknown += 1
            elif not arrival.has_linux_jumbo(parsed) and direction.bypass(arrival.packets(parsed)):
                opposite.forward(arrival)
            else:
                for frame in arrival.frames(parsed):
                    direction.put(frame, arrival.at)

    def send_due(self, now: float) -> None:
        """Send what has come to the other end."""
        for direction, opposite in zip(self.directions, reversed(self._ports), strict=True):
            for frame in direction.take(now):
                opposite.send(frame)

    def next_timeout(self) -> float | None:
        """When `send_due` has something to do next; None: when a frame comes."""
        return min((at for each in self.directions if (at := each.next_timeout()) is not None), default=None)
