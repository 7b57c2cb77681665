"""How the traces of all ranks become a workload.

In: who writes the traces, and what is asked of them. Out: a WorkloadType. Owns nothing. The traces are
checked by a dry run before anything starts, and then done by workloads.traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Column, Measure
from workloads.options import Memory, RepeatedOptions, TracedOptions
from workloads.trace.check import TraceError
from workloads.trace.dry_run import dry_run
from workloads.trace.layout import Layout
from workloads.trace.node import Compute, ReceiveFrom, Trace
from workloads.traced import Traced, busiest_bytes
from workloads.transports.transport import Transport
from workloads.workload import Words, WorkloadError, WorkloadType

_PIPELINE_BYTES = 4 << 20  # of a collective's pieces

STEP: tuple[Column, ...] = ("time", "compute", "exposed")
FED_STEP: tuple[Column, ...] = (*STEP, "setup", "stall")
OPERATIONS: tuple[Column, ...] = ("time", "operations", "p50", "p95", "p99")

BYTES = Words("byte", "none", "none", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSource:
    """`traces`: of all ranks, for a size; raises TraceError or WorkloadError. `default_sizes`: "0" where the
    bytes follow from other options, which then have to be the only ones. `check`: of the options, before
    there are traces. `columns`: of the table, between path and #wrong; None: those that go with the nodes.
    `factor`: busbw / algbw; None: that of the largest size's traces. `memory`: as of a WorkloadType."""

    name: str
    description: str
    options: type[TracedOptions]
    default_sizes: str
    traces: Callable[[ExperimentConfig, int], Sequence[Trace]]
    check: Callable[[ExperimentConfig], None] = lambda _: None
    columns: tuple[Column, ...] | None = None
    words: Callable[[ExperimentConfig], Words] = lambda _: BYTES
    factor: Callable[[ExperimentConfig], float] | None = None
    memory: Callable[[ExperimentConfig, int], Memory] = lambda _config, _rank: "accelerator"

    @property
    def is_sized(self) -> bool:
        return self.default_sizes != "0"

    def workload(self) -> WorkloadType:
        """As it can be asked for."""
        of = functools.partial
        return WorkloadType(
            name=self.name,
            description=self.description,
            options=self.options,
            default_sizes=self.default_sizes,
            ranks=ranks,
            words=self.words,
            check=of(_check, self),
            data_bytes=of(_data_bytes, self),
            iterations=iterations,
            flows=lambda config: config.options_as(TracedOptions).flows,
            measure=of(_measure, self),
            start=of(_start, self),
            channels=2,
            memory=self.memory,
            traces=self.traces,
        )


def ranks(config: ExperimentConfig) -> int:
    """All that there are."""
    return config.ranks or config.hosts


def iterations(config: ExperimentConfig) -> list[tuple[bool, bool]]:
    """(warm-up, in place) of each."""
    options = config.options_as(RepeatedOptions)
    return [(True, False)] * options.warmups + [(False, False)] * options.iterations


def _check(source: TraceSource, config: ExperimentConfig) -> None:
    source.check(config)
    name = source.name
    if not source.is_sized and config.sizes_bytes != (0,):
        raise WorkloadError(f"{name} has no --size: its bytes follow from its other options; leave it out")
    if source.is_sized and not min(config.sizes_bytes):
        raise WorkloadError(f"{name} of 0 bytes sends nothing; choose a --size above 0")
    try:
        for size in config.sizes_bytes:
            dry_run(source.traces(config, size))
    except TraceError as reason:
        raise WorkloadError(str(reason)) from None


def _data_bytes(source: TraceSource, config: ExperimentConfig) -> int:
    traces = source.traces(config, max(config.sizes_bytes))
    return max(_layout(traces, rank, config).bytes for rank in range(len(traces)))


def _layout(traces: Sequence[Trace], rank: int, config: ExperimentConfig) -> Layout:
    return Layout(traces, rank, _PIPELINE_BYTES, config.hosts_of_ranks or range(len(traces)))


def _start(source: TraceSource, machine: Machine, transport: Transport[Any], size: int) -> Traced:
    config = machine.config
    traces = source.traces(config, size)
    return Traced(machine, transport, traces, _layout(traces, machine.place.rank, config), size)


def _measure(source: TraceSource, config: ExperimentConfig) -> Measure:
    largest = max(config.sizes_bytes)
    columns = source.columns or _columns(source.traces(config, largest))
    factor = 1.0
    if source.is_sized:
        of = source.factor or (lambda _: busiest_bytes(source.traces(config, largest)) / largest)
        factor = of(config)
    return Measure(
        columns=("size", "type", "path", *columns, "predicted", "busbw", "wrong", "dram", "verdict"),
        size_is_key=source.is_sized,
        timed="all",
        rate="busbw",
        bandwidth_factor=round(factor, 6),
        ranks=ranks(config),
        checked="whole",
        headline="" if source.is_sized else "In a step",
    )


def _columns(traces: Sequence[Trace]) -> tuple[Column, ...]:
    nodes = [node for trace in traces for node in trace.nodes]
    computes = any(isinstance(node, Compute) for node in nodes)
    operates = any(isinstance(node, ReceiveFrom) and node.operation for node in nodes)
    is_fed = any(isinstance(node, ReceiveFrom) and node.batch for node in nodes)
    step = FED_STEP if is_fed else STEP
    return ("time", *(step[1:] if computes else ()), *(OPERATIONS[1:] if operates else ()))
