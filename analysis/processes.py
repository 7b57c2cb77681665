"""What each process used of the CPU for the payload that it moved: measured, beside what the ledger models.

In: a run's measured rows. Out: CPU seconds and context switches per GB, of a path as a whole and of each rank
and endpoint. Owns the columns of processes.csv. GB are of payload sent plus received: a rank's own, an
endpoint's that of all ranks of its host.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from typing import Annotated

import pandas as pd

from analysis.bandwidth import GB
from analysis.host_memory import payload_bytes, per, total
from analysis.load import Run
from analysis.memory_counters import MemoryUsage

PROCESSES = "processes.csv"


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process on one path and at one size; None where something was not recorded. A context switch is
    voluntary when the process waited, involuntary when the scheduler took the CPU from it."""

    size_bytes: Annotated[int, "B", "as in summary.csv"]
    path: Annotated[str, "", "as in samples.csv"]
    process: Annotated[str, "", "HOST:rankN or HOST:endpoint"]
    payload_bytes: Annotated[float | None, "B", "sent and received"]
    cpu_s_per_GB: Annotated[float | None, "s/GB", "CPU time"]
    voluntary_switches_per_GB: Annotated[float | None, "1/GB", "context switches of threads that waited"]
    involuntary_switches_per_GB: Annotated[
        float | None, "1/GB", "context switches of threads that the scheduler took the CPU from"
    ]


def process_rows(run: Run) -> list[ProcessRow]:
    """Of each path and size; where the size is a result, of each path."""
    rows = run.measured
    sized = rows["size_bytes"] * run.manifest.measure.size_is_key
    found: list[ProcessRow] = []
    for (size, path), group in rows.groupby([sized, rows["path"]], sort=False):
        found += _of_path(int(str(size)) or round(float(group["size_bytes"].median())), str(path), group)
    return found


def of_sizes(rows: Sequence[ProcessRow], sizes: Mapping[str, int]) -> list[ProcessRow]:
    """Those of the size that is named for their path."""
    return [row for row in rows if sizes.get(row.path) == row.size_bytes]


def csv_text(rows: Sequence[ProcessRow]) -> str:
    """processes.csv: full precision, an empty cell where a value is unknown."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(ProcessRow)])
    writer.writerows(map(astuple, rows))
    return text.getvalue()


def switch_columns(rows: pd.DataFrame) -> Mapping[str, float | None]:
    """Those of summary.csv: of all ranks, and of all endpoints."""
    payload_GB = per(payload_bytes(rows), GB)
    return {
        f"{of}_{kind}_switches_per_GB": per(total(rows, f"{of}_{kind}_switches"), payload_GB)
        for of in ("app", "endpoint")
        for kind in ("voluntary", "involuntary")
    }


def measured_dram(usage: Sequence[MemoryUsage], path: str, sizes: set[int] | None) -> float | None:
    """What the machine's own memory moved for each payload byte on that path, at those sizes (None: at any);
    None where it was not read."""
    rows = [row for row in usage if row.path == path and (sizes is None or row.size_bytes in sizes)]
    return per(sum(row.total_bytes for row in rows), sum(row.payload_bytes for row in rows)) if rows else None


def _of_path(size: int, path: str, rows: pd.DataFrame) -> Iterator[ProcessRow]:
    for (host, rank), own in rows.groupby(["host", "rank"], sort=True):
        yield _row(size, path, f"{host!s}:rank{rank}", own, "app")
    for host, own in rows.groupby("host", sort=True):
        yield _row(size, path, f"{host!s}:endpoint", own, "endpoint")


def _row(size: int, path: str, process: str, rows: pd.DataFrame, of: str) -> ProcessRow:
    payload = payload_bytes(rows)
    names = (f"{of}_cpu_s", f"{of}_voluntary_switches", f"{of}_involuntary_switches")
    return ProcessRow(size, path, process, payload, *(per(total(rows, n), per(payload, GB)) for n in names))
