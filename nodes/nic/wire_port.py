"""What a NIC asks of a wire: `af_packet` is the real one, tests put a fake one in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nodes.nic.af_packet import Arriving, Departing


class Wire(Protocol):
    """Full and empty are answers, not errors. Method contracts as in `af_packet.AfPacket`."""

    def peek(self) -> Arriving | None: ...

    def receive(self, views: Sequence[memoryview]) -> None: ...

    def drop(self) -> None: ...

    def send(self, headers: bytes, payload: Sequence[memoryview], how: Departing) -> bool: ...

    def overruns(self) -> int: ...
