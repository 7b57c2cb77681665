"""A simulated run in this process, without its report.

In: the words of a command line behind `run.py`. Out: the rows of samples.csv. Owns nothing.
"""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import typer

from commands.offer import Given, offers
from commands.run import settled
from commands.run_request import RunRequest
from commands.simulate import simulate
from commands.stop import Stop
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS


def simulated_run(run_dir: Path, *words: str) -> list[dict[str, str]]:
    """`run_dir` has the files of the run; a cell that was None is empty."""
    run = settled(_given(("--clock", "simulated", *words)))
    with ExitStack() as stack:
        manifest = ManifestFile(run_dir, (), run.config, False)
        simulate(RunRequest(run.config, run.network, run_dir, (), run.plan), manifest, Stop(), stack)
    manifest.finish("complete")
    with open(run_dir / "samples.csv", newline="") as file:
        return [*csv.DictReader(file)]


def measured(rows: list[dict[str, str]], **wanted: str) -> list[dict[str, str]]:
    """Those of no warm-up that have these values."""
    return [
        row
        for row in rows
        if row["warmup"] == "0" and all(row[name] == value for name, value in wanted.items())
    ]


def _given(words: tuple[str, ...]) -> Given:
    app = typer.Typer(add_completion=False)
    told: Any = lambda _context, given: given  # noqa: E731  an int is what commands return
    app.command()(offers(ExperimentConfig, *(each.options for each in WORKLOADS.values()))(told))
    given = typer.main.get_command(app).main(args=list(words), prog_name="run.py", standalone_mode=False)
    assert isinstance(given, Given)
    return given
