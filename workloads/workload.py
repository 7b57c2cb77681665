"""What a workload is: its declaration, what a rank does of it in a trial, and what that finds.

In: a rank's machine, its transport, a size. Out: what an iteration moved and took, and how many values were
wrong. Owns nothing. collective.py and stream.py are workloads; registry.py has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Measure
from workloads.options import Memory, WorkloadOptions
from workloads.trace.node import Trace
from workloads.transports.transport import Transport

OptionsRecord = type[WorkloadOptions]


class WorkloadError(ValueError):
    """Options that a workload cannot have; str() is one sentence."""


class NodeTime(msgspec.Struct, frozen=True):
    """When a node of a trace was done, in seconds of the machine's monotonic clock."""

    node: int
    name: str
    kind: str
    bytes: int
    begin_s: float
    end_s: float


class IterationResult(msgspec.Struct, frozen=True):
    """What the timed part of one iteration took and moved on one rank; bytes are payload. `compute_s`: how
    long its accelerator computed, None where it does not; `overlapped_s`: how long it did while payload was
    under way, None where that is not known. `setup_s`: until the first batch of data was there; `stalled_s`:
    how long its computations waited for later ones; None where they are fed with none. `app_system_cpu_s`: a
    part of `app_cpu_s`. `latencies_s`: of each operation, of one that has operations. `nodes`: of one that is
    a trace, if they are to be kept."""

    size_bytes: int
    time_s: float
    app_cpu_s: float
    app_system_cpu_s: float
    sent_bytes: int
    received_bytes: int
    compute_s: float | None = None
    overlapped_s: float | None = None
    setup_s: float | None = None
    stalled_s: float | None = None
    latencies_s: tuple[float, ...] = ()
    nodes: tuple[NodeTime, ...] = ()


class CheckResult(msgspec.Struct, frozen=True):
    """How many bytes a rank compared with what was expected, and how many elements of them were wrong; None
    where nothing was to be compared."""

    bytes: int
    wrong_elements: int | None


UNCHECKED = CheckResult(0, None)


class Iteration(NamedTuple):
    """One of a trial: `in_place` of a collective, and the seed of its data."""

    seed: int
    in_place: bool


class Words(NamedTuple):
    """nccl-tests' columns of the same names, and the bytes of an element."""

    type: str
    redop: str
    root: str
    element_bytes: int


class Workload(Protocol):
    """One rank's part in one trial. Of each iteration: fill, run, check.

    `send_to` and `receive_from`: the peers that the transport has to connect. `phase` says at any time what
    is being done, for error messages.
    """

    send_to: tuple[int, ...]
    receive_from: tuple[int, ...]

    @property
    def phase(self) -> str: ...

    def fill(self, iteration: Iteration) -> None:
        """Put the iteration's data into device memory."""

    def run(self, iteration: Iteration) -> IterationResult:
        """The timed part; begins when every rank has been filled."""

    def check(self, iteration: Iteration) -> CheckResult:
        """Compare what came with what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadType:
    """A workload as it can be asked for.

    `options` is the workload's own record. `default_sizes` is in the words of --size. `ranks`: how many take
    part. `words`: nccl-tests' columns. `check` raises WorkloadError for options that do not go together.
    `data_bytes`: of each rank's data memory. `iterations` gives (warm-up, in place) of each iteration of a
    trial, in order, without what --warmup-time adds behind each warm-up. `flows`: connections to each peer on
    each channel. `measure` takes the configuration.
    `ranks_per_host`: unless another number is asked for; None: one an accelerator. `channels`: see Transport.
    `memory`: whose a rank's data are in.
    `traces`: what all ranks do for a size, of a workload that is a trace; of a collective its messages.
    """

    name: str
    description: str
    options: OptionsRecord
    default_sizes: str
    ranks: Callable[[ExperimentConfig], int]
    words: Callable[[ExperimentConfig], Words]
    check: Callable[[ExperimentConfig], None]
    data_bytes: Callable[[ExperimentConfig], int]
    iterations: Callable[[ExperimentConfig], Sequence[tuple[bool, bool]]]
    flows: Callable[[ExperimentConfig], int]
    measure: Callable[[ExperimentConfig], Measure]
    start: Callable[[Machine, Transport[Any], int], Workload]
    ranks_per_host: int | None = None
    channels: int = 1
    memory: Callable[[ExperimentConfig, int], Memory] = lambda _config, _rank: "accelerator"
    traces: Callable[[ExperimentConfig, int], Sequence[Trace]] | None = None
