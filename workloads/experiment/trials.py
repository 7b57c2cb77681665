"""Runs all trials of an experiment and writes samples.csv, a trial at a time.

In: the configuration, the ranks. Out: rows appended to samples.csv after every trial, progress on stderr.
Owns the file while it is written.
"""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workloads.experiment.plan import trials
from workloads.experiment.ray_session import RaySession
from workloads.experiment.records import ExperimentConfig, Sample


def run_trials(config: ExperimentConfig, ranks: RaySession, samples_path: Path) -> None:
    """Run all trials on ranks that have started. Raises what `ranks` raises."""
    plan = trials(config)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        open(samples_path, "w", newline="", encoding="utf-8") as file,
        Progress(*columns, console=console) as bar,
    ):
        writer = csv.writer(file)
        writer.writerow(Sample.__struct_fields__)
        task = bar.add_task(config.workload, total=len(plan))
        for trial in plan:
            bar.update(task, description=f"{config.workload} {trial.path} {trial.size_bytes} B")
            writer.writerows(msgspec.structs.astuple(sample) for sample in ranks.run(trial))
            file.flush()
            bar.advance(task)
    ranks.close_ranks()
