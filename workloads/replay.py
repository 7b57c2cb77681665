"""The workload that does what trace files say.

In: a directory with a file a rank (workloads.trace.file), a time scale. Out: a WorkloadType. Owns nothing.
Every rank reads all files, so that messages have contents that both ends know.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from nodes.option import Option
from workloads.experiment.records import ExperimentConfig
from workloads.options import TracedOptions
from workloads.trace import file
from workloads.trace.check import TraceError
from workloads.trace.node import Compute, Trace
from workloads.trace_workload import TraceSource, ranks
from workloads.workload import WorkloadError


def _absolute(text: str) -> str:
    """Ranks run in another directory."""
    return str(Path(text).absolute())


class ReplayOptions(TracedOptions, frozen=True):
    """Which trace is done, and how fast its accelerators are."""

    trace_dir: Annotated[
        str, Option("Directory of a trace, rank0.jsonl and so on.", parse=_absolute, default="none")
    ] = ""
    time_scale: Annotated[
        float, Option("Every computation takes so many times as long; 0: none at all.", min=0, max=1e6)
    ] = 1.0


def scaled(traces: Sequence[Trace], scale: float) -> list[Trace]:
    """Every computation takes `scale` times as long."""
    return [
        msgspec.structs.replace(
            trace,
            nodes=tuple(
                msgspec.structs.replace(node, duration_us=node.duration_us * scale)
                if isinstance(node, Compute)
                else node
                for node in trace.nodes
            ),
        )
        for trace in traces
    ]


def _traces(config: ExperimentConfig, size: int) -> list[Trace]:  # noqa: ARG001  the trace has its own
    options = config.options_as(ReplayOptions)
    if not options.trace_dir:
        raise WorkloadError("replay needs a trace; name its directory with --trace-dir")
    try:
        traces = file.read(Path(options.trace_dir))
    except TraceError as reason:
        raise WorkloadError(str(reason)) from None
    return scaled(traces, options.time_scale)


def _check(config: ExperimentConfig) -> None:
    found, there = len(_traces(config, 0)), ranks(config)
    if found != there:
        where = config.options_as(ReplayOptions).trace_dir
        raise WorkloadError(
            f"the trace in {where} is of {found} ranks, and there are {there}; ask for {found} hosts"
        )


REPLAY = TraceSource(
    name="replay",
    description="what the trace in --trace-dir says: computations, collectives, messages",
    options=ReplayOptions,
    default_sizes="0",
    traces=_traces,
    check=_check,
).workload()
