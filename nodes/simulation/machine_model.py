"""What a simulated host's work costs in time: its CPU, its memory, its PCIe switches.

In: what a turn of the host has done, as counters. Out: nanoseconds. Owns the counters of before. The cost of
the CPU is declared and never the speed of the machine that simulates: so much for a system call, a packet, a
fragment, and for each byte that the CPU copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nodes.host import Host
from nodes.machine.bandwidth import served_at
from nodes.machine.buses import MEMORY, Buses, down, up
from nodes.machine.ledger import Ledger
from nodes.machine.routes import CPU_HOST_TO_HOST, PCIE_DOWN, PCIE_UP
from nodes.simulation.clock import NS_PER_S
from nodes.simulation.port import Port

_Asked = tuple[str, float, Ledger, tuple[int, ...]]  # a bus, its rate, and what _Meter is told of it
_COPIES = (CPU_HOST_TO_HOST,)


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
    `device`: of each accelerator's memory, of which its copies, reductions and divisions take their time.
    `device_operations`: of each accelerator, on dense matrices of 16 bits an element; 0: not known. A
    multiplication and its addition are two. `cores`: on which the work of the stack is spread."""

    name: str = "infinite"
    cpu: CpuCosts = CpuCosts()
    cores: int = 1
    dram_bytes_per_second: float = 0.0
    pcie_bytes_per_second: float = 0.0
    device_bytes_per_second: float = 0.0
    device_operations_per_second: float = 0.0


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


class _Meter:
    """What a host moves over one bus that has a limit. `along`: of which routes of `ledger`; (): all that
    access host DRAM."""

    __slots__ = ("_along", "_ledger", "_read_bytes", "_resource")

    def __init__(self, resource: Resource, ledger: Ledger, along: tuple[int, ...]) -> None:
        self._resource = resource
        self._ledger = ledger
        self._along = along
        self._read_bytes = self._so_far()

    def _so_far(self) -> int:
        return self._ledger.moved_along(self._along) if self._along else self._ledger.host_dram_bytes

    def served(self, now: float) -> float:
        """Ask the bus for what was moved since the last call; the second at which that is served."""
        so_far = self._so_far()
        count = so_far - self._read_bytes
        if not count:
            return now
        self._read_bytes = so_far
        return self._resource.reserve(count, now)


class MachineModel:
    """Of one host whose stack is `host`, and whose NICs have these ports. `buses`: those with a limit, which
    the host's programs share. `slower`: how many times as long its CPU takes, by a fault on purpose."""

    def __init__(self, spec: MachineSpec, host: Host, ports: Sequence[Port]) -> None:
        self.spec = spec
        self.slower = 1
        asked: list[_Asked] = [(MEMORY, spec.dram_bytes_per_second, host.ledger, ())]
        for device in host.devices.values():
            ledger, rate = device.dma.ledger, spec.pcie_bytes_per_second
            asked += [(up(device.name), rate, ledger, PCIE_UP), (down(device.name), rate, ledger, PCIE_DOWN)]
        resources = {name: Resource(rate) for name, rate, *_ in asked if rate}
        self.buses = Buses(resources)
        self._meters = [_Meter(resources[name], ledger, along) for name, rate, ledger, along in asked if rate]
        self._ledger = host.ledger
        self._ports = [*ports]
        self._costs = spec.cpu
        self._packets = self._fragments = self._copied_bytes = 0

    def after_turn(self, syscalls: int, now: float) -> tuple[int, float]:
        """A turn is over in which so many calls were attempted. Returns for how many nanoseconds it has
        kept the CPU busy, and the second at which memory and PCIe have served what it moved."""
        served = now
        for meter in self._meters:
            served = max(served, meter.served(now))
        costs, packets, fragments = self._costs, 0, 0
        for port in self._ports:
            packets += port.packets
            fragments += port.fragments
        busy_ns = costs.turn_ns + costs.syscall_ns * syscalls
        busy_ns += costs.packet_ns * (packets - self._packets)
        busy_ns += costs.fragment_ns * (fragments - self._fragments)
        self._packets, self._fragments = packets, fragments
        if costs.copy_bytes_per_second:
            copied = self._ledger.moved_along(_COPIES)
            busy_ns += (copied - self._copied_bytes) * NS_PER_S // costs.copy_bytes_per_second
            self._copied_bytes = copied
        return busy_ns * self.slower // self.spec.cores, served
