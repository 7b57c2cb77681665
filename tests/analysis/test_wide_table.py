"""Columns that are asked for: as many words in every line, all that are known, no other changes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from analysis.load import Run, load
from analysis.plots import Figures
from analysis.report import write_report
from analysis.summary import summarise
from analysis.table import table_text
from analysis.wide_table import KNOWN, ColumnError, asked_columns, body_of
from commands.dispatch import main
from tests.analysis.synthetic import MIB, Cell, Made
from tests.docs import pages

SMALL = Made(sizes=(MIB, 4 * MIB), repetitions=2)


def both_places(directory: Path, extra: dict[str, Cell]) -> Run:
    """The in-place iterations are the same as the ones out of place, behind them."""
    rows = [row | extra for row in SMALL.rows()]
    count = SMALL.iterations + 1
    again = [row | {"in_place": 0, "iteration": int(str(row["iteration"])) + count} for row in rows]
    return load(SMALL.write(directory / "r", rows + again))


def lines(run: Run, text: str) -> list[list[str]]:
    table = table_text(run, summarise(run), body=body_of(asked_columns(text)))
    return [line.split() for line in table.splitlines() if not line.startswith("#")]


def test_named_columns_are_shown_in_their_order_whether_known_or_not(run_dir: Path) -> None:
    header, units, *rows = lines(load(run_dir), "path, spread,size,pool,path")
    assert (header, units) == (["path", "spread", "size", "pool"], ["(us)", "(B)", "(%)"])
    assert rows[0] == ["devmem", "0.0", str(MIB), "n/a"]
    assert {len(row) for row in rows} == {4}


def test_all_has_what_any_row_has_and_a_line_for_each_place(tmp_path: Path) -> None:
    run = both_places(tmp_path, {"rx_pool_peak_share": 0.125, "rx_hw_drops": 3})
    header, _, *rows = lines(run, "all")
    assert {"place", "time_p99", "spread", "pool", "drops", "retr", "net_cpu"} <= {*header}
    assert not {"token_p50", "overlapped", "softirq", "overruns", "compute"} & {*header}
    assert len(rows) == 3 * 2 * 2
    cells = {len(row) for row in rows}
    assert cells == {len(header) - 2}, "`busbw 95 %` is one column"
    assert {row[6] for row in rows} == {"out", "in"}
    assert all("12.5" in row for row in rows)


def test_one_place_is_not_told_and_a_path_with_a_mark_is_one_word(tmp_path: Path) -> None:
    notes = [{"path": "devmem", "mark": "RX only", "text": "this kernel has no devmem TX"}]
    run = load(Made(sizes=(MIB,), manifest={"notes": notes}).write(tmp_path / "r"))
    header, _, *rows = lines(run, "all")
    assert "place" not in header
    assert {len(row) for row in rows} == {len(header) - 2}
    assert rows[0][5] == "devmem(RX-only)"


def test_the_average_line_and_the_usual_table_stay_as_they_are(run_dir: Path) -> None:
    run = load(run_dir)
    usual = table_text(run, summarise(run))
    wide = table_text(run, summarise(run), body=body_of(("all",)))
    told = [[line for line in each.splitlines() if line.startswith("#")] for each in (usual, wide)]
    assert told[0] == told[1]
    assert re.search(r"^# Avg bus bandwidth +: .* [0-9.]+$", wide, re.M)
    assert max(map(len, usual.splitlines())) <= 140


def test_a_column_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ColumnError, match="there is no column 'spred'; choose all, or from size, count,"):
        asked_columns("path,spred")
    with pytest.raises(ColumnError, match="there is no column 'all'"):
        asked_columns("all,path")
    with pytest.raises(ColumnError, match="there is no column ''"):
        asked_columns("")


def test_drawing_again_takes_columns_too(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("analysis.analyse.draw", lambda *_: Figures())
    monkeypatch.setattr("sys.argv", ["run.py", "report", str(run_dir), "--columns", "path,net_cpu"])
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["path", "net_cpu"]
    monkeypatch.setattr("sys.argv", ["run.py", "report", str(run_dir), "--columns", "nothing"])
    assert main() == 2
    assert "there is no column 'nothing'" in capsys.readouterr().err


def test_ranks_that_took_unlike_times_are_told_below_the_table(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem", "bounce"))
    rows = made.rows()
    slow = [row for row in rows if row["rank"] == 3 and row["path"] == "bounce"]
    for row in slow:
        row["time_s"] = 2.0 * float(str(row["time_s"]))
    run = load(made.write(tmp_path / "r", rows))
    (said,) = [line for line in table_text(run, summarise(run)).splitlines() if "Stragglers" in line]
    # One of four ranks takes twice the time, so the mean is 1.25 times it.
    assert said.endswith(
        f"1 of 2 rows; of bounce at {MIB} B the last rank took 80 % of the time longer than the first"
    )
    measure = msgspec.structs.replace(run.manifest.measure, size_is_key=False)
    of_stream = replace(run, manifest=msgspec.structs.replace(run.manifest, measure=measure))
    assert "2 rows; of bounce the last rank took" in table_text(of_stream, summarise(run))
    even = load(made.write(tmp_path / "even"))
    assert "Stragglers" not in table_text(even, summarise(even))


def test_the_report_has_every_known_column_of_every_row(run_dir: Path) -> None:
    run = load(run_dir)
    summary = summarise(run)
    text = write_report(run, summary, Figures()).read_text()
    assert text.count(">straggler_spread_p50_us<") == text.count(">rank_time_p99_us<") == len(summary)
    assert ">token_return_p50_us<" not in text
    assert f">{summary[0].network_cpu_of}<".replace("'", "&#39;") in text


def test_every_column_that_can_be_asked_for_is_explained() -> None:
    page = "docs/reference/columns.md"
    more = [pages.named(row[0])[0] for row in pages.table(page, "Columns on request")]
    usual = [pages.named(row[1])[0] for row in pages.table(page, "The printed table")]
    assert [*usual, *more] == list(KNOWN)
