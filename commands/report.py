"""The command report: draws the results of a run, or of a sweep, again.

In: a directory. Out: of a run its table on stdout, and summary.csv, other tables, figures, report.html and
report.md, drawn of the data files alone; of a sweep its report; exit status 1 if values were wrong, or with
one sentence when there is nothing to draw or a file cannot be written. Owns nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.results_error import ResultsError
from commands.usage import UsageError
from workloads.sweep.ledger import LedgerError, cells_directory, has_ledger, is_done, last_entries

if TYPE_CHECKING:
    from analysis.sweep import CellRun

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (ResultsError, LedgerError)


def command(
    directory: Annotated[Path, typer.Argument(help="Directory of a run, or of a sweep.", metavar="DIR")],
    columns: Annotated[str, typer.Option(help="Of a run's table, comma-separated, or all.")] = "",
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write a run's tables as Parquet files, too; needs pyarrow.")
    ] = False,
    rfo: Annotated[
        bool, typer.Option("--rfo", help="The CPU reads what it writes: read-for-ownership.")
    ] = False,
    ddio: Annotated[
        float, typer.Option(help="Share of NICs' writes that stay in the cache.", min=0, max=1)
    ] = 0.0,
) -> int:
    """Redraw table, figures and report of a run, or the report of a sweep, from the data files alone.

    Host memory is drawn as the ledger counts it, or with a cache between: see docs/host-memory.md.
    """
    if has_ledger(directory):
        if columns or parquet or rfo or ddio:
            raise UsageError(f"{directory} is a sweep, whose report has no options; give a run of its cells")
        return _sweep(directory)
    return _run(directory, columns, parquet, rfo, ddio)


def _run(directory: Path, columns: str, parquet: bool, rfo: bool, ddio: float) -> int:
    from analysis.analyse import analyse  # pandas and matplotlib take their time
    from analysis.memory_model import MemoryModel
    from analysis.wide_table import ColumnError, asked_columns

    try:
        asked = asked_columns(columns) if columns else ()
    except ColumnError as wrong:
        raise UsageError(str(wrong)) from None
    analysis = analyse(directory, asked, parquet, MemoryModel(rfo, ddio))
    print(analysis.table_text, end="")
    if analysis.unwritten:
        raise OSError("; ".join(analysis.unwritten))
    print(f"# Report: {analysis.report_path}")
    return int(bool(analysis.wrong_elements))


def _sweep(directory: Path) -> int:
    from analysis.sweep_report import write_sweep_report  # likewise

    entries = list(last_entries(directory).values())
    failed = [
        f"{' '.join(entry.options)}: {entry.reason or 'its results are gone'}"
        for entry in entries
        if not is_done(entry, directory)
    ]
    repeat = ["python", "run.py", "sweep", shlex.quote(str(directory / "sweep.yaml")), "--run-id", "again"]
    drawn = write_sweep_report(directory, list(cells_of(directory)), failed, repeat)
    print(f"# {drawn.cells} cells complete, {len(failed)} not; {drawn.rows} rows")
    print(f"# Report: {drawn.path}")
    return int(bool(drawn.wrong_elements))


def cells_of(directory: Path) -> Iterator[CellRun]:
    """The runs of a sweep's complete cells, with the options that not all of them have."""
    from analysis.sweep import CellRun

    entries = [entry for entry in last_entries(directory).values() if is_done(entry, directory)]
    common = set.intersection(*(set(entry.options) for entry in entries)) if len(entries) > 1 else set()
    for entry in entries:
        varied = [word.removeprefix("--") for word in entry.options if word not in common]
        options = {name: text or "yes" for name, _, text in (word.partition("=") for word in varied)}
        yield CellRun(entry.cell, entry.machine, options, cells_directory(directory) / entry.run)
