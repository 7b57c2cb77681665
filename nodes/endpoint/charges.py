"""What the host's buses are asked for after each turn: the bytes that its NICs and its CPU have moved.

In: the host's ledger, `now`. Out: the time at which the buses have served them. Owns how much of the ledger
each bus was charged with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from nodes.host import Host
from nodes.machine.buses import MEMORY, Buses, down, up
from nodes.machine.routes import PCIE_DOWN, PCIE_UP


class Charges:
    """`moved`: reads what was moved over a bus so far, by the bus's name."""

    def __init__(self, buses: Buses, moved: Mapping[str, Callable[[], int]]) -> None:
        self._buses = buses
        self._moved = {name: moved[name] for name in buses.names}
        self._charged = dict.fromkeys(buses.names, 0)

    @classmethod
    def of(cls, host: Host, buses: Buses) -> Charges:
        """What an endpoint's host moves. A NIC's ledger has what went through its PCIe switch."""
        moved: dict[str, Callable[[], int]] = {MEMORY: lambda: host.ledger.host_dram_bytes}
        for device in host.devices.values():
            along = device.dma.ledger.moved_along
            moved[up(device.name)] = partial(along, PCIE_UP)
            moved[down(device.name)] = partial(along, PCIE_DOWN)
        return cls(buses, moved)

    @property
    def limited(self) -> bool:
        """Whether any bus has a ceiling."""
        return bool(self._moved)

    def served_at(self, now: float) -> float:
        """Charge what was moved since the last call; returns when the last of the buses has served it, `now`
        or later. What another process's lock keeps from a bus is charged by a later call."""
        served = now
        for name, read in self._moved.items():
            moved = read()
            if moved != self._charged[name]:
                with suppress(BlockingIOError):
                    bus = self._buses.by_name[name]
                    served = max(served, bus.reserve(moved - self._charged[name], now, False))
                    self._charged[name] = moved
        return served
