"""Rows of a run made twice: what is compared with what, and when two numbers agree."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest

from analysis.crosscheck import AGREES, DIFFERS, NOT_COMPARABLE, CrossRow, counts, crosscheck, csv_text, table
from analysis.results_error import ResultsError

TIMED = {
    "path": "devmem", "size_bytes": "1000", "in_place": "False", "time_us": "100.0", "goodput_gbit_per_s": "",
    "tcp_retrans_segs": "3", "link_drops": "", "verdict": "faithful",
}  # fmt: skip


def summary(directory: Path, *rows: dict[str, str]) -> Path:
    directory.mkdir()
    with open(directory / "summary.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*TIMED])
        writer.writeheader()
        writer.writerows(TIMED | row for row in rows)
    return directory


def checked(place: Path, mininet: dict[str, str], simulated: dict[str, str]) -> CrossRow:
    halves = summary(place / "m", mininet), summary(place / "s", {"verdict": "simulated"} | simulated)
    (row,) = crosscheck("cell", *halves, 5.0)
    return row


@pytest.mark.parametrize(
    ("time_us", "apart", "outcome"),
    [("104.9", 4.9, AGREES), ("95.1", -4.9, AGREES), ("105.1", 5.1, DIFFERS), ("94.9", -5.1, DIFFERS)],
)
def test_a_faithful_time_agrees_within_the_tolerance(
    tmp_path: Path, time_us: str, apart: float, outcome: str
) -> None:
    row = checked(tmp_path, {}, {"time_us": time_us, "tcp_retrans_segs": "0"})
    assert row.apart_percent == pytest.approx(apart)
    assert (row.outcome, row.quantity, row.unit, row.mininet) == (outcome, "time", "us", 100)
    assert (row.mininet_retrans, row.simulated_retrans, row.mininet_link_drops) == (3, 0, None)


def test_a_time_that_is_the_cpus_neither_agrees_nor_differs(tmp_path: Path) -> None:
    row = checked(tmp_path, {"verdict": "cpu-limited"}, {"time_us": "300.0"})
    assert (row.outcome, row.mininet_verdict) == (NOT_COMPARABLE, "cpu-limited")
    assert row.apart_percent == pytest.approx(200)


def test_of_a_stream_the_goodput_is_compared_whatever_its_size(tmp_path: Path) -> None:
    stream = {"goodput_gbit_per_s": "0.5", "size_bytes": "900", "time_us": "7"}
    row = checked(tmp_path, stream, {"goodput_gbit_per_s": "0.49", "size_bytes": "800", "time_us": "9"})
    assert (row.quantity, row.unit, row.size_bytes) == ("goodput", "Gbit/s", 900)
    assert row.apart_percent == pytest.approx(-2)


def test_rows_belong_together_by_path_size_and_place(tmp_path: Path) -> None:
    other = {"path": "bounce", "time_us": "50.0"}
    placed = {"in_place": "True", "time_us": "20.0"}
    halves = summary(tmp_path / "m", {}, other, placed), summary(tmp_path / "s", placed, {}, other)
    assert [row.apart_percent for row in crosscheck("cell", *halves, 5.0)] == [0, 0, 0]


@pytest.mark.parametrize("row", [{"path": "bounce"}, {"size_bytes": "2000"}, {"in_place": "True"}])
def test_a_row_that_one_half_lacks_is_an_error(tmp_path: Path, row: dict[str, str]) -> None:
    halves = summary(tmp_path / "m", {}), summary(tmp_path / "s", row)
    with pytest.raises(ResultsError, match="have other rows; run both halves"):
        crosscheck("cell", *halves, 5.0)


def test_a_half_without_a_summary_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nothing/summary\.csv is no summary of a run"):
        crosscheck("cell", tmp_path / "nothing", summary(tmp_path / "s", {}), 5.0)


def test_the_table_and_the_file_have_every_row(tmp_path: Path) -> None:
    rows = [
        checked(tmp_path, {}, {"time_us": "103.04"}),
        CrossRow(
            "b", "devmem", 1, True, "time", "us", 1.0, 2.0, 100.0, None, None, 1, 2, "mixed", NOT_COMPARABLE
        ),
    ]  # fmt: skip
    lines = table(rows).splitlines()
    assert lines[0].split()[:3] == ["cell", "path", "size"]
    assert " ".join(lines[1].split()) == "cell devmem 1000 time us 100 103.04 +3.0 3 3 agrees"
    assert lines[2].endswith("-       -       not comparable (mixed)")
    found = [*csv.DictReader(StringIO(csv_text(rows)))]
    assert [row["outcome"] for row in found] == [AGREES, NOT_COMPARABLE]
    assert found[1]["mininet_retrans"] == ""
    assert csv_text([]).startswith("cell,path,")
    assert counts(rows) == "1 agrees, 0 differs, 1 not comparable"
