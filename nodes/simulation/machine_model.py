"""What a simulated host's work costs in time: its CPU, its memory, its PCIe switches.

In: what a turn of the host has done, as counters. Out: nanoseconds. Owns the counters of before. The cost of
the CPU is declared and never the speed of the machine that simulates: so much for a system call, a packet, a
fragment, and for each byte that the CPU copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nodes.host import Host
from nodes.machine.bandwidth import served_at
from nodes.machine.buses import MEMORY, Buses, down, up
from nodes.machine.routes import CPU_HOST_TO_HOST, PCIE_DOWN, PCIE_UP
from nodes.simulation.clock import NS_PER_S
from nodes.simulation.port import Port


@dataclass(frozen=True, slots=True)
class CpuCosts:
    """Nanoseconds on one core: of an interrupt and its poll, of a frame through the stack in either direction
    (a super-packet is one), of a net_iov or page of payload, of a system call. `copy_bytes_per_second`: of
    the kernel's copies; 0: they take no time."""

    turn_ns: int = 0
    packet_ns: int = 0
    fragment_ns: int = 0
    syscall_ns: int = 0
    copy_bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """One host. Rates in bytes a second, 0: no limit. `pcie`: of each NIC's switch, in each direction.
    `cores`: on which the work of the stack is spread."""

    name: str = "infinite"
    cpu: CpuCosts = CpuCosts()
    cores: int = 1
    dram_bytes_per_second: float = 0.0
    pcie_bytes_per_second: float = 0.0


INFINITE = MachineSpec()


class Resource:
    """Something that serves bytes at a rate, first come, first served. Satisfies nodes.machine.buses.Server.
    `served_bytes`: so far."""

    def __init__(self, bytes_per_second: float) -> None:
        self.fd = -1  # there is none: all who use it are in this process
        self.bytes_per_second = bytes_per_second
        self.served_bytes = 0
        self._free_at = 0.0

    def reserve(self, count: int, now: float, wait: bool = True) -> float:  # noqa: ARG002
        """Ask for so many bytes at `now`; returns the second at which they are served."""
        self.served_bytes += count
        self._free_at = served_at(self._free_at, count, self.bytes_per_second, now)
        return self._free_at

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class _Work:
    """What a host has done so far."""

    packets: int
    fragments: int
    copied_bytes: int
    moved: tuple[int, ...]  # over each bus that has a limit, in their order


class MachineModel:
    """Of one host whose stack is `host`, and whose NICs have these ports. `buses`: those with a limit, which
    the host's programs share. `slower`: how many times as long its CPU takes, by a fault on purpose."""

    def __init__(self, spec: MachineSpec, host: Host, ports: Sequence[Port]) -> None:
        self.spec = spec
        self.slower = 1
        rates = {MEMORY: spec.dram_bytes_per_second}
        reads: dict[str, Callable[[], int]] = {MEMORY: lambda: host.ledger.host_dram_bytes}
        for device in host.devices.values():
            for name, routes in ((up(device.name), PCIE_UP), (down(device.name), PCIE_DOWN)):
                rates[name] = spec.pcie_bytes_per_second
                reads[name] = partial(device.dma.ledger.moved_along, routes)
        self.buses = Buses({name: Resource(rate) for name, rate in rates.items() if rate})
        self._reads = [reads[name] for name in self.buses.names]
        self._ledger = host.ledger
        self._ports = ports
        self._before = self._work()

    def after_turn(self, syscalls: int, now: float) -> tuple[int, float]:
        """A turn is over in which so many calls were attempted. Returns for how many nanoseconds it has
        kept the CPU busy, and the second at which memory and PCIe have served what it moved."""
        work, before = self._work(), self._before
        self._before = work
        served = now
        for bus, moved, earlier in zip(self.buses.by_name.values(), work.moved, before.moved, strict=True):
            if moved != earlier:
                served = max(served, bus.reserve(moved - earlier, now))
        costs = self.spec.cpu
        busy_ns = costs.turn_ns + costs.syscall_ns * syscalls
        busy_ns += costs.packet_ns * (work.packets - before.packets)
        busy_ns += costs.fragment_ns * (work.fragments - before.fragments)
        if costs.copy_bytes_per_second:
            busy_ns += (work.copied_bytes - before.copied_bytes) * NS_PER_S // costs.copy_bytes_per_second
        return busy_ns * self.slower // self.spec.cores, served

    def _work(self) -> _Work:
        return _Work(
            packets=sum(port.packets for port in self._ports),
            fragments=sum(port.fragments for port in self._ports),
            copied_bytes=self._ledger.moved_along((CPU_HOST_TO_HOST,)),
            moved=tuple(read() for read in self._reads),
        )
