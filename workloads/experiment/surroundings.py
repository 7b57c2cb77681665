"""What a rank is surrounded by: clocks, threads, a place to meet the other ranks. It exists twice.

In: nothing. Out: THIS_MACHINE, which Ray's actors have; a simulation makes another. Owns nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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

    def wait(self) -> None:
        """Until all have come. TimeoutError, ConnectionError."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`barrier`: makes a rank's Meeting of its number, how many there are, and its Progress. `time`: seconds
    since the epoch. `stolen_s`: seconds of CPU time that a hypervisor has given to others."""

    runtime: Runtime
    barrier: Callable[[int, int, Progress], Meeting]
    time: Callable[[], float]
    stolen_s: Callable[[], float]


def _stolen_s() -> float:
    """All CPUs together: man 5 proc, /proc/stat."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(fields[8]) / _TICKS_PER_S


THIS_MACHINE = Surroundings(MACHINE, Barrier, time.time, _stolen_s)
