"""The results of many runs as one table: summary.csv of a sweep.

In: what each run was asked for, and its directory. Out: a CSV text with the rows of all their summary.csv
files, each behind its cell, its options and its machine. Owns the names of the columns in front.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

NAME = "summary.csv"
CELL, MACHINE, GRID = "cell", "machine", "grid_"


@dataclass(frozen=True, slots=True)
class CellRun:
    """`options`: those that differ between cells, by name."""

    cell: str
    machine: str
    options: Mapping[str, str]
    run_dir: Path


def joined(runs: Sequence[CellRun]) -> str:
    """A run without a summary has no row. Columns that not all summaries have are empty in the others."""
    rows = [row for run in runs for row in _rows(run)]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(run: CellRun) -> list[dict[str, str]]:
    front = {CELL: run.cell, MACHINE: run.machine}
    front |= {GRID + name.replace("-", "_"): text for name, text in run.options.items()}
    try:
        with open(run.run_dir / NAME, newline="", encoding="utf-8") as file:
            return [front | row for row in csv.DictReader(file)]
    except FileNotFoundError:
        return []
