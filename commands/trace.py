"""The command trace: whether a trace's files go together, and what they do; writes and imports traces, too.

In: a directory. Out: a table on stdout, trace files if asked for. Owns nothing. Exit status 1 and one
sentence when the ranks' traces do not go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from commands.accelerator_rate import with_machines_rate
from commands.offer import Given, offers
from commands.usage import UsageError
from nodes.option import Option
from nodes.quantity import parse_rate, parse_size
from topologies.quantity import duration
from workloads.experiment.records import ExperimentConfig, sizes
from workloads.options import TracedOptions
from workloads.pattern import PATTERNS
from workloads.replay import scaled
from workloads.trace import chakra, file
from workloads.trace.check import TraceError
from workloads.trace.dry_run import Model, Outcome, dry_run
from workloads.trace.node import Trace
from workloads.user import workload as user
from workloads.workload import WorkloadError, WorkloadType

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = (TraceError,)
_WRITERS = {each.name: each for each in PATTERNS}

Directory = Annotated[Path, typer.Argument(help="Directory of the trace.", metavar="DIR")]


class TraceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is done before the trace is looked at, and the network that its time is predicted for."""

    write: Annotated[
        str, Option("First write the trace of a pattern, or of FILE.py:NAME, into DIR.", metavar="WORKLOAD")
    ] = ""
    chakra: Annotated[
        str, Option("First import PREFIX.0.et and so on, Chakra's files, into DIR.", metavar="PREFIX")
    ] = ""
    ranks: Annotated[int, Option("Ranks of what --write writes.", min=1, max=10_000)] = 4
    size: Annotated[
        int | None, Option("Its bytes, as a run's --size.", parse=parse_size, default="the workload's first")
    ] = None
    seed: Annotated[int, Option("Of what it draws.", min=0)] = 1
    latency_s: Annotated[
        float, Option("Of a message, as 50us.", flag="latency", parse=duration, default="0")
    ] = 0.0
    rate: Annotated[
        float, Option("Of each rank's line, as 1GB/s.", parse=parse_rate, default="without a limit")
    ] = 0.0
    time_scale: Annotated[float, Option("Every computation takes so many times as long.", min=0)] = 1.0


@offers(TraceOptions, *(each.options for each in PATTERNS), argument=Directory, without=TracedOptions)
def command(_: typer.Context, given: Given) -> int:
    """Check a trace and predict its time; write a workload's, or import Chakra's."""
    options, directory = given.record(TraceOptions), given.argument
    if options.write and options.chakra:
        raise UsageError("--write and --chakra make a trace each; leave one out")
    if options.write or options.chakra:
        if (directory / file.name_of(0)).exists():
            raise UsageError(f"{directory} has a trace already; choose another directory, or remove it")
        made = _written(options, given) if options.write else chakra.read(options.chakra)
        dry_run(made)
        file.write(directory, made)
    else:
        given.check_owner("trace", {name: each.options for name, each in _WRITERS.items()})
    traces = scaled(file.read(directory), options.time_scale)
    model = Model(options.latency_s, 1 / options.rate if options.rate else 0.0)
    print(_table(traces, dry_run(traces, model)))
    return 0


def _written(options: TraceOptions, given: Given) -> Sequence[Trace]:
    """Raises UsageError."""
    try:
        kind, own = _writer(options.write)
        known = _WRITERS | {kind.name: kind}
        given.check_owner(kind.name, {name: each.options for name, each in known.items()})
        config = ExperimentConfig(
            "star",
            options.ranks,
            kind.name,
            sizes(kind.default_sizes)[:1] if options.size is None else (options.size,),
            ("devmem",),
            given.record(kind.options, **own),
            seed=options.seed,
        )
        rated = with_machines_rate(config, "--tflops" in given.values)
        config = msgspec.structs.replace(config, options=rated)
        kind.check(config)
        assert kind.traces is not None, "every writer has them"
        return kind.traces(config, config.sizes_bytes[0])
    except WorkloadError as reason:
        raise UsageError(f"--write {options.write}: {reason}") from None


def _writer(words: str) -> tuple[WorkloadType, dict[str, str]]:
    """Raises UsageError and WorkloadError."""
    if words in _WRITERS:
        return _WRITERS[words], {}
    if not user.is_users(words):
        raise UsageError(f"there is no pattern {words!r}; choose from {', '.join(_WRITERS)}, or FILE.py:NAME")
    kind, path = user.named(words)
    if kind.traces is None:
        raise UsageError(f"--write {words}: it acts and writes no trace; let it take (program)")
    return kind, {"file": path}


def _table(traces: Sequence[Trace], outcomes: Sequence[Outcome]) -> str:
    """A line a rank, and the sums."""
    cells = [("rank", "nodes", "compute_s", "message_B", "collective_B", "predicted_s")]
    cells += [
        _row(str(trace.rank), len(trace.nodes), each) for trace, each in zip(traces, outcomes, strict=True)
    ]
    everything = Outcome(
        max(each.time_s for each in outcomes),
        sum(each.compute_s for each in outcomes),
        sum(each.message_bytes for each in outcomes),
        sum(each.collective_bytes for each in outcomes),
    )
    cells.append(_row("all", sum(len(trace.nodes) for trace in traces), everything))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(lines)


def _row(rank: str, nodes: int, outcome: Outcome) -> tuple[str, str, str, str, str, str]:
    compute, took = (f"{seconds:.6f}" for seconds in (outcome.compute_s, outcome.time_s))
    return rank, str(nodes), compute, str(outcome.message_bytes), str(outcome.collective_bytes), took
