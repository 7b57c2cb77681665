"""The buses of an emulated host whose bandwidth is limited: host memory, and its PCIe switches.

In: bytes to move over each, and `now`. Out: the time at which the caller may continue; nothing sleeps here.
Owns the buses, which the endpoint and all applications of the host share. Each NIC has a PCIe switch, which
accelerators share with it, and a switch has two buses: up, out of NIC and accelerators, and down, into them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from nodes.machine.ceilings import Bus

MEMORY = "memory"


def up(nic: str) -> str:
    """The name of the bus out of the devices on the PCIe switch of that interface."""
    return f"{nic} up"


def down(nic: str) -> str:
    """The name of the bus into them."""
    return f"{nic} down"


class Server(Protocol):
    """One bus, as its users know it: `ceilings.Bus`, or one of a simulated machine."""

    fd: int
    bytes_per_second: float

    def reserve(self, count: int, now: float, wait: bool = True, /) -> float:
        """Request `count` bytes; returns the second at which the caller may continue. Raises BlockingIOError
        if that cannot be said at once and `wait` is false."""

    def renew(self) -> None:
        """This process is a forked child."""

    def close(self) -> None: ...


class Buses:
    """Those that have a limit, by name; any other one serves at once."""

    def __init__(self, buses: Mapping[str, Server]) -> None:
        self.by_name = dict(buses)

    @classmethod
    def create(cls, memory: float | None, pcie: float | None, nics: Iterable[str]) -> Buses:
        """New ones, idle. Limits in bytes a second, None for none; `pcie`: of each switch and direction."""
        rates = {MEMORY: memory}
        rates |= {name: pcie for nic in nics for name in (up(nic), down(nic))}
        return cls({name: Bus.create(rate) for name, rate in rates.items() if rate})

    @classmethod
    def shared(cls, names: Sequence[str], fds: Sequence[int]) -> Buses:
        """Those of another process, which passed their names and descriptors. Takes these over."""
        return cls({name: Bus(fd) for name, fd in zip(names, fds, strict=True)})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.by_name)

    @property
    def fds(self) -> tuple[int, ...]:
        return tuple(bus.fd for bus in self.by_name.values())

    def reserve(self, counts: Mapping[str, int], now: float) -> float:
        """Request so many bytes of each bus named; returns the CLOCK_MONOTONIC second, `now` or later, at
        which the caller may continue."""
        asked = [(self.by_name[name], count) for name, count in counts.items() if name in self.by_name]
        return max([now, *(bus.reserve(count, now) for bus, count in asked if count)])

    def renew(self) -> None:
        """This process is a forked child."""
        for bus in self.by_name.values():
            bus.renew()

    def close(self) -> None:
        """They go on for other processes."""
        for bus in self.by_name.values():
            bus.close()
