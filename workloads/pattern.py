"""Patterns by name: what each is asked for, and how it becomes a workload.

In: a pattern's function that writes a rank's trace. Out: its WorkloadType. Owns the table. A pattern is its
traces: see workloads.trace_workload.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workloads.element_types import ELEMENT_TYPES
from workloads.experiment.records import ExperimentConfig
from workloads.measure import Column
from workloads.options import Memory, TracedOptions
from workloads.patterns import serving, traffic, training
from workloads.patterns.serving import BlockStorageOptions, StorageOptions
from workloads.patterns.training import TrainingOptions
from workloads.trace.node import Trace
from workloads.trace_workload import BYTES, FED_STEP, OPERATIONS, STEP, TraceSource, ranks
from workloads.traced import busiest_bytes
from workloads.workload import Words, WorkloadError, WorkloadType

_LARGE_BYTES = 1 << 30  # of a message beside which requests do not count


@dataclass(frozen=True, slots=True)
class Pattern:
    """`write`: a rank's trace, of (rank, nranks, size, options, seed). `default_sizes`: "0" where the bytes
    follow from other options. `least_ranks`: below it there is no pattern. `columns`: of the table, between
    path and #wrong."""

    name: str
    description: str
    write: Callable[[int, int, int, Any, int], Trace]
    options: type[TracedOptions]
    default_sizes: str
    columns: tuple[Column, ...]
    least_ranks: int = 2


def _traces(pattern: Pattern, config: ExperimentConfig, size: int) -> list[Trace]:
    nranks = ranks(config)
    return [pattern.write(rank, nranks, size, config.options, config.seed) for rank in range(nranks)]


def _check(pattern: Pattern, config: ExperimentConfig) -> None:
    name, nranks, options = pattern.name, ranks(config), config.options
    if nranks < pattern.least_ranks:
        raise WorkloadError(f"{name} needs {pattern.least_ranks} ranks, and there are {nranks}; ask for more")
    if isinstance(options, StorageOptions) and options.storage >= nranks:
        raise WorkloadError(
            f"--storage-hosts {options.storage} leaves none of {nranks} ranks; ask for fewer, or more hosts"
        )


def _words(config: ExperimentConfig) -> Words:
    options = config.options
    if isinstance(options, TrainingOptions):
        element = ELEMENT_TYPES[options.element]
        return Words(element.word, "none", "none", element.bytes)
    return BYTES


def _memory(config: ExperimentConfig, rank: int) -> Memory:
    options = config.options
    if isinstance(options, BlockStorageOptions):
        is_target = rank >= ranks(config) - options.storage
        return options.target_memory if is_target else options.initiator_memory
    return "accelerator"


def _factor(pattern: Pattern, config: ExperimentConfig) -> float:
    return busiest_bytes(_traces(pattern, config, _LARGE_BYTES)) / _LARGE_BYTES


def workload(pattern: Pattern) -> WorkloadType:
    of = functools.partial
    source = TraceSource(
        name=pattern.name,
        description=pattern.description,
        options=pattern.options,
        default_sizes=pattern.default_sizes,
        traces=of(_traces, pattern),
        check=of(_check, pattern),
        columns=pattern.columns,
        words=_words,
        factor=of(_factor, pattern),
        memory=_memory,
    )
    return source.workload()


def _unsized(write: Callable[[int, int, Any, int], Trace]) -> Callable[[int, int, int, Any, int], Trace]:
    """Of a training pattern, whose bytes follow from the model."""

    def sized(rank: int, nranks: int, size: int, options: Any, seed: int) -> Trace:  # noqa: ARG001
        return write(rank, nranks, options, seed)

    return sized


_PATTERNS = (
    Pattern(
        "data_parallel", "training: gradients are all-reduced in buckets while the backward pass goes on",
        _unsized(training.data_parallel), training.DataParallelOptions, "0", STEP,
    ),
    Pattern(
        "fsdp", "training: parameters sharded, gathered layer by layer, gradients reduce-scattered (ZeRO-3)",
        _unsized(training.fsdp), training.ShardedOptions, "0", STEP,
    ),
    Pattern(
        "tensor_parallel", "training: every layer divided among all ranks, activations all-reduced",
        _unsized(training.tensor_parallel), TrainingOptions, "0", STEP,
    ),
    Pattern(
        "pipeline", "training: a stage a rank, microbatches forward and backward in turns (1F1B)",
        _unsized(training.pipeline), training.PipelineOptions, "0", STEP,
    ),
    Pattern(
        "moe", "training: a mixture of experts, tokens exchanged by all_to_allv with skew",
        _unsized(training.moe), training.ExpertsOptions, "0", STEP,
    ),
    Pattern(
        "parameter_server", "training: workers push gradients to rank 0 and pull parameters",
        serving.parameter_server, serving.ParameterServerOptions, "2M", STEP,
    ),
    Pattern(
        "ingest", "storage hosts feed accelerators: shuffled batches of --size, asked for ahead",
        serving.ingest, serving.IngestOptions, "4M", FED_STEP,
    ),
    Pattern(
        "block_storage", "reads and writes of blocks of --size at a queue depth, as fio",
        serving.block_storage, serving.BlockStorageOptions, "4K:1M:x16", OPERATIONS,
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
        traffic.rpc, traffic.CallsOptions, "64,4K,64K", OPERATIONS,
    ),
)  # fmt: skip

PATTERNS = tuple(map(workload, _PATTERNS))
