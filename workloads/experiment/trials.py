"""Runs all trials of an experiment and writes samples.csv, usage.csv and link_usage.csv, a trial at a time.

In: the configuration, the ranks, what to watch. Out: rows appended to the files after every trial, progress
on stderr. Owns the files while they are written: each ends with a whole trial, on a full disk too.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workloads.experiment.link_usage import LinkDirection, LinkUsage, link_usage, sent
from workloads.experiment.observer import Observer
from workloads.experiment.plan import trials
from workloads.experiment.ray_session import RaySession
from workloads.experiment.records import ExperimentConfig, Sample, SamplesError
from workloads.experiment.usage import Usage, usage


def run_trials(
    config: ExperimentConfig,
    ranks: RaySession,
    observer: Observer,
    directions: Sequence[LinkDirection],
    run_dir: Path,
) -> None:
    """Run all trials on ranks that have started. `directions`: of all links. Raises SamplesError and what
    `ranks` raises."""
    plan = trials(config)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        RowsFile(run_dir / "samples.csv", Sample) as file,
        RowsFile(run_dir / "usage.csv", Usage) as used,
        RowsFile(run_dir / "link_usage.csv", LinkUsage) as links,
        Progress(*columns, console=console) as bar,
    ):
        task = bar.add_task(config.workload, total=len(plan))
        for trial in plan:
            bar.update(task, description=f"{config.workload} {trial.path} {trial.size_bytes} B")
            before = sent(directions)
            with observer.observing() as readings:
                samples = ranks.run(trial)
            after = sent(directions)
            file.append(samples)
            used.append(usage(trial, samples, observer.watched, readings))
            links.append(link_usage(trial, samples, directions, before, after))
            bar.advance(task)
    ranks.close_ranks()


class RowsFile:
    """A file of `kind`'s rows, made anew; raises SamplesError where a trial cannot be added."""

    def __init__(self, path: Path, kind: type[msgspec.Struct]) -> None:
        self._path = path
        self._written_bytes = 0
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by __exit__
        except OSError as failure:
            raise self._error(failure) from failure
        self._add([kind.__struct_fields__])

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Sequence[msgspec.Struct]) -> None:
        """Add a trial, or nothing of it."""
        self._add([msgspec.structs.astuple(row) for row in rows])

    def _add(self, rows: Sequence[Sequence[object]]) -> None:
        text = StringIO()
        csv.writer(text).writerows(rows)
        left = memoryview(text.getvalue().encode("utf-8"))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as failure:
            with suppress(OSError):
                self._file.truncate(self._written_bytes)
            raise self._error(failure) from failure
        self._written_bytes = self._file.tell()

    def _error(self, failure: OSError) -> SamplesError:
        return SamplesError(
            f"{self._path} cannot be written ({failure.strerror}); the trials before are kept, make room and "
            "repeat the run"
        )
