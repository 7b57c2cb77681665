"""Runs all trials of an experiment and writes samples.csv, a trial at a time.

In: the configuration, the ranks. Out: rows appended to samples.csv after every trial, progress on stderr.
Owns the file while it is written: it ends with a whole trial, on a full disk too.
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

from workloads.experiment.plan import trials
from workloads.experiment.ray_session import RaySession
from workloads.experiment.records import ExperimentConfig, Sample, SamplesError


def run_trials(config: ExperimentConfig, ranks: RaySession, samples_path: Path) -> None:
    """Run all trials on ranks that have started. Raises SamplesError and what `ranks` raises."""
    plan = trials(config)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with SamplesFile(samples_path) as file, Progress(*columns, console=console) as bar:
        task = bar.add_task(config.workload, total=len(plan))
        for trial in plan:
            bar.update(task, description=f"{config.workload} {trial.path} {trial.size_bytes} B")
            file.append(ranks.run(trial))
            bar.advance(task)
    ranks.close_ranks()


class SamplesFile:
    """samples.csv, made anew; raises SamplesError where a trial cannot be added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_bytes = 0
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by __exit__
        except OSError as failure:
            raise self._error(failure) from failure
        self._add([Sample.__struct_fields__])

    def __enter__(self) -> SamplesFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, samples: Sequence[Sample]) -> None:
        """Add a trial, or nothing of it."""
        self._add([msgspec.structs.astuple(sample) for sample in samples])

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
