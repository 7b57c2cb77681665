"""What the nodes of a run's traces did: operations.csv, and traces that can be replayed and looked at.

In: a trial's operations. Out: rows of operations.csv; in trace/PATH the traces of the last measured iteration
over that path, with times, and the same as timeline.json; trace/PATH-SIZE where there are several sizes. Owns
the files while they are written. Nothing where operations are not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from workloads.experiment.records import ExperimentConfig, Operation, SamplesError, Trial
from workloads.experiment.rows_file import RowsFile
from workloads.options import keeps_operations
from workloads.registry import workload_of
from workloads.trace import file
from workloads.trace.node import Compute, Node, Trace
from workloads.trace.timeline import timeline


class OperationsFiles:
    """Raises SamplesError where something cannot be written."""

    def __init__(self, run_dir: Path, config: ExperimentConfig) -> None:
        self._config = config
        self._directory = run_dir / "trace"
        keeps = keeps_operations(config.options)
        self._rows = RowsFile(run_dir / "operations.csv", Operation) if keeps else None

    def __enter__(self) -> OperationsFiles:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows is not None:
            self._rows.__exit__()

    def append(self, trial: Trial, operations: Sequence[Operation]) -> None:
        """Add a trial."""
        if self._rows is None:
            return
        rows = from_the_first(operations)
        self._rows.append(rows)
        traces = workload_of(self._config).traces
        assert traces is not None, "only a trace has operations to keep"
        sized = len(self._config.sizes_bytes) > 1
        directory = self._directory / (f"{trial.path}-{trial.size_bytes}" if sized else trial.path)
        done = as_done(traces(self._config, trial.size_bytes), rows)
        try:
            file.write(directory, done)
            (directory / "timeline.json").write_bytes(timeline(done))
        except OSError as failure:
            raise SamplesError(
                f"{directory} cannot be written ({failure.strerror}); the trials before are kept, make room "
                "and repeat the run"
            ) from failure


def from_the_first(operations: Iterable[Operation]) -> list[Operation]:
    """Seconds since each iteration's first node."""
    iterations: dict[int, list[Operation]] = defaultdict(list)
    for each in operations:
        iterations[each.iteration].append(each)
    rows = []
    for number in sorted(iterations):
        began_s = min(each.begin_s for each in iterations[number])
        rows += [
            msgspec.structs.replace(each, begin_s=each.begin_s - began_s, end_s=each.end_s - began_s)
            for each in iterations[number]
        ]
    return rows


def as_done(traces: Sequence[Trace], operations: Sequence[Operation]) -> list[Trace]:
    """The traces with the times of the last iteration; computations last as long as they did. `operations`:
    in the order of iterations."""
    times = {(each.rank, each.node): each for each in operations}  # later ones replace earlier ones
    return [
        msgspec.structs.replace(
            trace, nodes=tuple(_timed(node, times[trace.rank, node.id]) for node in trace.nodes)
        )
        for trace in traces
    ]


def _timed(node: Node, operation: Operation) -> Node:
    began_us, took_us = operation.begin_s * 1e6, (operation.end_s - operation.begin_s) * 1e6
    if isinstance(node, Compute):
        return msgspec.structs.replace(node, began_us=began_us, took_us=took_us, duration_us=took_us)
    return msgspec.structs.replace(node, began_us=began_us, took_us=took_us)
