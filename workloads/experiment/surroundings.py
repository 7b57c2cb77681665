"""What a rank is surrounded by: clocks, threads, a place to meet the other ranks. It exists twice.

In: nothing. Out: THIS_MACHINE, which Ray's actors have; a simulation makes another. Owns nothing.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from nodes.client.runtime import MACHINE, Runtime
from workloads.experiment.barrier import Barrier
from workloads.progress import Progress

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Meeting(Protocol):
    """One rank's end of what all ranks wait at (workloads.experiment.barrier.Barrier)."""

    def listen(self) -> bytes:
        """The name by which the rank before connects."""

    def connect(self, next_rank: bytes, /) -> None:
        """To the next rank."""

    def wait(self, vote: bool = False, /) -> bool:
        """Until all have come; whether any rank has voted for what all of them are to do next. TimeoutError,
        ConnectionError."""

    def close(self) -> None: ...


class MachineCpu(NamedTuple):
    """Seconds of all CPUs together: man 5 proc, /proc/stat. `steal_s`: given to others by a hypervisor."""

    steal_s: float
    softirq_s: float

    def since(self, before: MachineCpu) -> MachineCpu:
        """Linux lets its counts step back: what a softirq took is never less than nothing."""
        return MachineCpu(self.steal_s - before.steal_s, max(0.0, self.softirq_s - before.softirq_s))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`barrier`: makes a rank's Meeting of its number, the machines of all ranks, and its Progress. `time`:
    seconds since the epoch. `machine_cpu`: what all CPUs have done so far beside running processes.
    `switches`: context switches of the rank's process, voluntary and involuntary ones."""

    runtime: Runtime
    barrier: Callable[[int, Sequence[str], Progress], Meeting]
    time: Callable[[], float]
    machine_cpu: Callable[[], MachineCpu]
    switches: Callable[[], tuple[int, int]]


def machine_cpu() -> MachineCpu:
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return MachineCpu(int(fields[8]) / _TICKS_PER_S, int(fields[7]) / _TICKS_PER_S)


def _switches() -> tuple[int, int]:
    """All threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw, usage.ru_nivcsw


THIS_MACHINE = Surroundings(MACHINE, Barrier, time.time, machine_cpu, _switches)
