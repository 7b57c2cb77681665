"""What a workload is: its declaration, what a rank does of it in a trial, and what that finds.

In: a rank's machine, its transport, a size. Out: what an iteration moved and took, and how many values were
wrong. Owns nothing. collective.py and stream.py are workloads; registry.py has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Measure
from workloads.options import WorkloadOptions
from workloads.transports.transport import Transport

OptionsRecord = type[WorkloadOptions]


class WorkloadError(ValueError):
    """Options that a workload cannot have; str() is one sentence."""


class IterationResult(msgspec.Struct, frozen=True):
    """What the timed part of one iteration took and moved on one rank; bytes are payload."""

    size_bytes: int
    time_s: float
    app_cpu_s: float
    sent_bytes: int
    received_bytes: int


class CheckResult(msgspec.Struct, frozen=True):
    """How many bytes a rank compared with what was expected, and how many elements of them were wrong."""

    bytes: int
    wrong_elements: int


class Workload(Protocol):
    """One rank's part in one trial. Of each iteration: fill, run, check.

    `send_to` and `receive_from`: the peers that the transport has to connect. `phase` says at any time what
    is being done, for error messages.
    """

    send_to: tuple[int, ...]
    receive_from: tuple[int, ...]
    phase: str

    def fill(self, seed: int) -> None:
        """Put the iteration's data into device memory."""

    def run(self) -> IterationResult:
        """The timed part; begins when every rank has been filled."""

    def check(self, seed: int) -> CheckResult:
        """Compare what came with what was expected of that seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadType:
    """A workload as it can be asked for.

    `type`, `redop` and `root` are nccl-tests' columns. `options` is the workload's own record.
    `default_sizes` is in the words of --size. `iterations` gives (warm-up, measured) of a trial. `measure`
    takes the number of ranks. `ranks_per_host`: unless another number is asked for; None: one an accelerator.
    """

    name: str
    description: str
    type: str
    redop: str
    root: str
    element_bytes: int
    options: OptionsRecord
    default_sizes: str
    ranks: Callable[[ExperimentConfig], int]
    iterations: Callable[[ExperimentConfig], tuple[int, int]]
    measure: Callable[[int], Measure]
    start: Callable[[Machine, Transport[Any], int], Workload]
    ranks_per_host: int | None = None

    def check_sizes(self, sizes_bytes: Sequence[int]) -> None:
        """Raises WorkloadError for a size that is not a whole number of elements."""
        for size in sizes_bytes:
            if size % self.element_bytes:
                raise WorkloadError(
                    f"size {size} is no multiple of the {self.element_bytes} bytes of an element; round it"
                )
