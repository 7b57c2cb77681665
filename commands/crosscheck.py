"""The command crosscheck: the same runs on Mininet and simulated, side by side.

In: words of a command line, a file of cells. Out: a table on stdout; a directory with crosscheck.csv,
crosscheck.json, and the runs below `runs`; exit status 1 if a cell failed, or if a row that is faithful on
Mininet differs by more than the tolerance. Owns that directory while it runs. A run that fails ends its own
cell only.
"""

from __future__ import annotations

import datetime
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from analysis.results_error import ResultsError
from commands.crosscheck_file import CrossCell, load, words_of
from commands.place import Place
from commands.reproduce import Runs
from commands.stop import Stop
from commands.sweep import check_privileges
from commands.usage import UsageError
from topologies.mininet.fabric import FabricError
from workloads.experiment.manifest import sources
from workloads.experiment.manifest_records import Git
from workloads.experiment.records import CLOCKS
from workloads.sweep.local import PROJECT

if TYPE_CHECKING:
    from analysis.crosscheck import CrossRow

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = (FabricError,)
CELLS = Path(__file__).with_name("crosscheck.yaml")
ROWS, MANIFEST = "crosscheck.csv", "crosscheck.json"
_PATIENCE = 10  # a machine may be so many times slower than the one of the file's minutes
_LEAST_S = 120.0


class CellRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`runs`: the directories of both halves, below that of the file; `reason`: why there are no rows."""

    name: str
    run: str
    runs: tuple[str, ...]
    seconds: float
    reason: str = ""


class CrossManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was run, and how it ended; each run has a manifest of its own."""

    command: str
    tolerance_percent: float
    git: Git | None
    started_at: str
    cells: tuple[CellRecord, ...]


def command(
    only: Annotated[list[str] | None, typer.Option(help="A cell's name. May be repeated.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which cells there are, and run none.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Where the directory goes.  [default: results beside run.py]")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option(help="A file of cells (YAML).  [default: small networks, slow links]")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Percent that a row which is faithful on Mininet may differ.", min=0)
    ] = 5.0,
) -> int:
    """Make the same runs on Mininet and simulated, and print how far apart they are."""
    chosen = _chosen(cells or CELLS, only or ())
    if listed:
        for cell in chosen:
            print(f"{cell.name}: {cell.run} (about {cell.minutes:g} min)")
        return 0
    check_privileges()
    checking = _Crosscheck(results or Place().results, tolerance)
    checking.run(chosen)
    return checking.end()


def _chosen(file: Path, only: Sequence[str]) -> list[CrossCell]:
    """Raises UsageError."""
    found = load(file)
    names = [cell.name for cell in found]
    for name in only:
        if name not in names:
            raise UsageError(f"there is no cell {name!r} in {file.name}; choose from {', '.join(names)}")
    return [cell for cell in found if not only or cell.name in only]


class _Crosscheck:
    """In a new directory below `results`."""

    def __init__(self, results: Path, tolerance_percent: float) -> None:
        self._began = datetime.datetime.now(datetime.UTC)
        self._directory = results.absolute() / f"crosscheck-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        self._tolerance_percent = tolerance_percent
        self._rows: list[CrossRow] = []
        self._cells: list[CellRecord] = []

    def run(self, cells: Sequence[CrossCell]) -> None:
        """Every cell; what is known is written after each. Raises Interrupted."""
        stop = Stop()
        runs = Runs(self._directory / "runs", stop)
        with stop:
            runs.directory.mkdir(parents=True)
            for at, cell in enumerate(cells, 1):
                print(f"{at}/{len(cells)} {cell.name}, about {cell.minutes:g} min", file=sys.stderr)
                self._cells.append(self._cell(cell, runs))
                self._write()

    def _cell(self, cell: CrossCell, runs: Runs) -> CellRecord:
        from analysis.crosscheck import crosscheck

        began, halves, reason = time.monotonic(), list[Path](), ""
        limit_s = max(_LEAST_S, cell.minutes * 60 * _PATIENCE)
        for clock in CLOCKS:
            run_dir, failure = runs.run(words_of(cell, clock), f"{cell.name}-{clock}", limit_s)
            halves.append(run_dir)
            if failure:
                reason = f"with --clock {clock} it failed: {failure}"
                break
        if not reason:
            try:
                self._rows += crosscheck(cell.name, halves[0], halves[1], self._tolerance_percent)
            except ResultsError as wrong:
                reason = str(wrong)
        places = tuple(str(each.relative_to(self._directory)) for each in halves)
        seconds = round(time.monotonic() - began, 1)
        return CellRecord(name=cell.name, run=cell.run, runs=places, seconds=seconds, reason=reason)

    def _write(self) -> None:
        from analysis.crosscheck import csv_text

        git, _ = sources(PROJECT)
        manifest = CrossManifest(
            command=shlex.join(["run.py", *sys.argv[1:]]),
            tolerance_percent=self._tolerance_percent,
            git=git,
            started_at=self._began.isoformat(timespec="seconds"),
            cells=tuple(self._cells),
        )
        (self._directory / ROWS).write_text(csv_text(self._rows), encoding="utf-8")
        (self._directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")

    def end(self) -> int:
        """The table; returns the exit status."""
        from analysis.crosscheck import DIFFERS, counts, table
        from commands.measure import shown

        print(table(self._rows), end="")
        failed = [cell for cell in self._cells if cell.reason]
        for cell in failed:
            print(f"# {cell.name}: {cell.reason}")
        print(f"# {counts(self._rows)}; {len(failed)} cells failed; tolerance {self._tolerance_percent:g} %")
        print(f"# Rows: {shown(self._directory / ROWS)}")
        return int(bool(failed) or any(row.outcome == DIFFERS for row in self._rows))
