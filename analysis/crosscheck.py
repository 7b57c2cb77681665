"""The same run made twice, on Mininet and simulated, side by side.

In: the directories of both. Out: a row for each path, size and place, with how far apart the two are; a
table and a CSV text of such rows. Owns the columns. Only a row that is faithful on Mininet is a number of the
network, so only it can agree or differ.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from analysis.aligned import aligned
from analysis.fidelity import FAITHFUL
from analysis.results_error import ResultsError

SUMMARY = "summary.csv"
AGREES, DIFFERS, NOT_COMPARABLE = "agrees", "differs", "not comparable"
_HEADS = (
    "cell", "path", "size (B)", "of", "Mininet", "simulated", "apart %", "retr M", "retr S", "outcome",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CrossRow:
    """`quantity`: goodput, in Gbit/s, where the workload has one, else time, in us: medians.
    `apart_percent`: simulated over Mininet's, less 1. Retransmissions and packets lost in queues: of all
    measured iterations; None where nothing was counted. `mininet_verdict`: of the row on Mininet."""

    cell: str
    path: str
    size_bytes: int
    in_place: bool
    quantity: str
    unit: str
    mininet: float
    simulated: float
    apart_percent: float
    mininet_retrans: int | None
    simulated_retrans: int | None
    mininet_link_drops: int | None
    simulated_link_drops: int | None
    mininet_verdict: str
    outcome: str


_Key = tuple[str, bool, int]


def crosscheck(cell: str, mininet: Path, simulated: Path, tolerance_percent: float) -> list[CrossRow]:
    """Of the two run directories of a cell. Raises ResultsError where one has a row that the other lacks."""
    ours, theirs = _by_key(mininet), _by_key(simulated)
    if not ours or ours.keys() != theirs.keys():
        raise ResultsError(f"{mininet} and {simulated} have other rows; run both halves of the cell again")
    return [_row(cell, key, ours[key], theirs[key], tolerance_percent) for key in ours]


def _by_key(run_dir: Path) -> dict[_Key, dict[str, str]]:
    """The rows of summary.csv. A size that is a result is no part of the key. Raises ResultsError."""
    place = run_dir / SUMMARY
    try:
        with open(place, newline="", encoding="utf-8") as file:
            rows = [*csv.DictReader(file)]
        return {
            (
                row["path"],
                row["in_place"] == "True",
                0 if row["goodput_gbit_per_s"] else int(row["size_bytes"]),
            ): row
            for row in rows
        }
    except (OSError, KeyError, ValueError) as failure:
        raise ResultsError(f"{place} is no summary of a run: {failure!r}") from None


def _key(row: dict[str, str]) -> _Key:
    size = 0 if row["goodput_gbit_per_s"] else int(row["size_bytes"])
    return row["path"], row["in_place"] == "True", size


def _row(
    cell: str, key: _Key, mininet: dict[str, str], simulated: dict[str, str], tolerance_percent: float
) -> CrossRow:
    goodput = bool(mininet["goodput_gbit_per_s"])
    quantity, unit = ("goodput", "Gbit/s") if goodput else ("time", "us")
    column = "goodput_gbit_per_s" if goodput else "time_us"
    first, second = float(mininet[column]), float(simulated[column])
    apart = (second / first - 1) * 100
    outcome = AGREES if abs(apart) <= tolerance_percent else DIFFERS
    return CrossRow(
        cell=cell,
        path=key[0],
        size_bytes=int(mininet["size_bytes"]),
        in_place=key[1],
        quantity=quantity,
        unit=unit,
        mininet=first,
        simulated=second,
        apart_percent=apart,
        mininet_retrans=_count(mininet["tcp_retrans_segs"]),
        simulated_retrans=_count(simulated["tcp_retrans_segs"]),
        mininet_link_drops=_count(mininet["link_drops"]),
        simulated_link_drops=_count(simulated["link_drops"]),
        mininet_verdict=mininet["verdict"],
        outcome=outcome if mininet["verdict"] == FAITHFUL else NOT_COMPARABLE,
    )


def _count(text: str) -> int | None:
    return int(float(text)) if text else None


def csv_text(rows: Iterable[CrossRow]) -> str:
    """With a head, also of no rows."""
    names = [each.name for each in fields(CrossRow)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()


def table(rows: Sequence[CrossRow]) -> str:
    """For a terminal or a log."""
    return aligned([_HEADS, *map(_cells, rows)])


def _cells(row: CrossRow) -> tuple[str, ...]:
    why = "" if row.mininet_verdict == FAITHFUL else f" ({row.mininet_verdict})"
    return (
        row.cell,
        f"{row.path}{' in place' if row.in_place else ''}",
        str(row.size_bytes),
        f"{row.quantity} {row.unit}",
        f"{row.mininet:.5g}",
        f"{row.simulated:.5g}",
        f"{row.apart_percent:+.1f}",
        "-" if row.mininet_retrans is None else str(row.mininet_retrans),
        "-" if row.simulated_retrans is None else str(row.simulated_retrans),
        row.outcome + why,
    )


def counts(rows: Sequence[CrossRow]) -> str:
    """As `9 agree, 1 differs, 2 not comparable`."""
    return ", ".join(
        f"{sum(row.outcome == word for row in rows)} {word}" for word in (AGREES, DIFFERS, NOT_COMPARABLE)
    )
