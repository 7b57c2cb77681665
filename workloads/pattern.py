"""Patterns by name: what each is asked for, and how it becomes a workload.

In: a pattern's function that writes a rank's trace. Out: its WorkloadType. Owns the table. A pattern is its
traces: they are checked by a dry run before anything starts, and then done by workloads.traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workloads.element_types import ELEMENT_TYPES
from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Column, Measure
from workloads.options import RepeatedOptions
from workloads.patterns import serving, traffic, training
from workloads.patterns.serving import StorageOptions
from workloads.patterns.training import TrainingOptions
from workloads.trace.dry_run import TraceError, dry_run
from workloads.trace.layout import Layout
from workloads.trace.node import Trace
from workloads.traced import Traced, busiest_bytes
from workloads.transports.transport import Transport
from workloads.workload import Words, WorkloadError, WorkloadType

_PIPELINE_BYTES = 1 << 20  # of a collective's pieces
_LARGE_BYTES = 1 << 30  # of a message beside which requests do not count


@dataclass(frozen=True, slots=True)
class Pattern:
    """`write`: a rank's trace, of (rank, nranks, size, options, seed). `default_sizes`: "0" where the bytes
    follow from other options. `least_ranks`: below it there is no pattern. `columns`: of the table, between
    path and #wrong."""

    name: str
    description: str
    write: Callable[[int, int, int, Any, int], Trace]
    options: type[RepeatedOptions]
    default_sizes: str
    columns: tuple[Column, ...]
    least_ranks: int = 2

    @property
    def is_sized(self) -> bool:
        return self.default_sizes != "0"


def _traces(pattern: Pattern, config: ExperimentConfig, size: int) -> list[Trace]:
    nranks = _ranks(config)
    return [pattern.write(rank, nranks, size, config.options, config.seed) for rank in range(nranks)]


def _layout(traces: list[Trace], rank: int, config: ExperimentConfig) -> Layout:
    return Layout(traces, rank, _PIPELINE_BYTES, config.hosts_of_ranks or range(len(traces)))


def _start(pattern: Pattern, machine: Machine, transport: Transport[Any], size: int) -> Traced:
    config = machine.config
    traces = _traces(pattern, config, size)
    layout = _layout(traces, machine.place.rank, config)
    checks = not config.options_as(RepeatedOptions).no_check
    return Traced(machine, transport, traces, layout, size, checks)


def _check(pattern: Pattern, config: ExperimentConfig) -> None:
    name, nranks, options = pattern.name, _ranks(config), config.options
    if nranks < pattern.least_ranks:
        raise WorkloadError(f"{name} needs {pattern.least_ranks} ranks, and there are {nranks}; ask for more")
    if isinstance(options, StorageOptions) and options.storage >= nranks:
        raise WorkloadError(
            f"--storage-hosts {options.storage} leaves none of {nranks} ranks; ask for fewer, or more hosts"
        )
    if not pattern.is_sized and config.sizes_bytes != (0,):
        raise WorkloadError(f"{name} has no --size: its bytes follow from its other options; leave it out")
    if pattern.is_sized and not min(config.sizes_bytes):
        raise WorkloadError(f"{name} of 0 bytes sends nothing; choose a --size above 0")
    try:
        for size in config.sizes_bytes:
            dry_run(_traces(pattern, config, size))
    except TraceError as reason:
        raise WorkloadError(str(reason)) from None


def _data_bytes(pattern: Pattern, config: ExperimentConfig) -> int:
    traces = _traces(pattern, config, max(config.sizes_bytes))
    return max(_layout(traces, rank, config).bytes for rank in range(len(traces)))


def _ranks(config: ExperimentConfig) -> int:
    return config.ranks or config.hosts


def _iterations(config: ExperimentConfig) -> list[tuple[bool, bool]]:
    options = config.options_as(RepeatedOptions)
    return [(True, False)] * options.warmup + [(False, False)] * options.iterations


def _words(config: ExperimentConfig) -> Words:
    options = config.options
    if isinstance(options, TrainingOptions):
        element = ELEMENT_TYPES[options.element]
        return Words(element.word, "none", "none", element.bytes)
    return Words("byte", "none", "none", 1)


def _measure(pattern: Pattern, config: ExperimentConfig) -> Measure:
    factor = busiest_bytes(_traces(pattern, config, _LARGE_BYTES)) / _LARGE_BYTES if pattern.is_sized else 1.0
    return Measure(
        columns=("size", "type", "path", *pattern.columns, "busbw", "wrong", "dram", "verdict"),
        size_is_key=pattern.is_sized,
        timed="mean",
        rate="busbw",
        bandwidth_factor=round(factor, 6),
        ranks=_ranks(config),
        checked="whole",
        headline="" if pattern.is_sized else "In a step",
    )


def _workload(pattern: Pattern) -> WorkloadType:
    of = functools.partial
    return WorkloadType(
        name=pattern.name,
        description=pattern.description,
        options=pattern.options,
        default_sizes=pattern.default_sizes,
        ranks=_ranks,
        words=_words,
        check=of(_check, pattern),
        data_bytes=of(_data_bytes, pattern),
        iterations=_iterations,
        flows=lambda _: 1,
        measure=of(_measure, pattern),
        start=of(_start, pattern),
        channels=2,
    )


def _unsized(write: Callable[[int, int, Any, int], Trace]) -> Callable[[int, int, int, Any, int], Trace]:
    """Of a training pattern, whose bytes follow from the model."""

    def sized(rank: int, nranks: int, size: int, options: Any, seed: int) -> Trace:  # noqa: ARG001
        return write(rank, nranks, options, seed)

    return sized


_STEP: tuple[Column, ...] = ("time", "compute", "exposed")
_LATENCY: tuple[Column, ...] = ("time", "operations", "p50", "p95", "p99")

_PATTERNS = (
    Pattern(
        "data_parallel", "training: gradients are all-reduced in buckets while the backward pass goes on",
        _unsized(training.data_parallel), training.DataParallelOptions, "0", _STEP,
    ),
    Pattern(
        "fsdp", "training: parameters sharded, gathered layer by layer, gradients reduce-scattered (ZeRO-3)",
        _unsized(training.fsdp), training.ShardedOptions, "0", _STEP,
    ),
    Pattern(
        "tensor_parallel", "training: every layer divided among all ranks, activations all-reduced",
        _unsized(training.tensor_parallel), TrainingOptions, "0", _STEP,
    ),
    Pattern(
        "pipeline", "training: a stage a rank, microbatches forward and backward in turns (1F1B)",
        _unsized(training.pipeline), training.PipelineOptions, "0", _STEP,
    ),
    Pattern(
        "moe", "training: a mixture of experts, tokens exchanged by all_to_allv with skew",
        _unsized(training.moe), training.ExpertsOptions, "0", _STEP,
    ),
    Pattern(
        "parameter_server", "training: workers push gradients to rank 0 and pull parameters",
        serving.parameter_server, serving.ParameterServerOptions, "4M", _STEP,
    ),
    Pattern(
        "ingest", "storage hosts feed accelerators: shuffled batches of --size, asked for ahead",
        serving.ingest, serving.IngestOptions, "4M", _STEP,
    ),
    Pattern(
        "block_storage", "reads and writes of blocks of --size at a queue depth, as fio",
        serving.block_storage, serving.BlockStorageOptions, "4K:1M:x16", _LATENCY,
    ),
    Pattern(
        "checkpoint", "every rank saves a shard of --size to a storage host, and reads it back",
        serving.checkpoint, serving.CheckpointOptions, "16M", ("time",),
    ),
    Pattern(
        "incast", "all ranks send messages of --size to rank 0 at once",
        traffic.incast, traffic.MessagesOptions, "1M", ("time",),
    ),
    Pattern(
        "outcast", "rank 0 sends messages of --size to all others at once",
        traffic.outcast, traffic.MessagesOptions, "1M", ("time",),
    ),
    Pattern(
        "pairwise", "ranks exchange messages of --size in pairs, both ways at once",
        traffic.pairwise, traffic.MessagesOptions, "1M", ("time",),
    ),
    Pattern(
        "rpc", "rank 0 calls rank 1 with --size bytes, one call after the other",
        traffic.rpc, traffic.CallsOptions, "64,4K,64K", _LATENCY,
    ),
)  # fmt: skip

PATTERNS = tuple(map(_workload, _PATTERNS))
