"""The text table: columns that people know, marks, footer, and a form that a pipe keeps."""

import re
from pathlib import Path

import pytest

from analysis.load import load
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import FAULTS, MIB, TRAFFIC, Made


def _table(made: Made, directory: Path, rows: list[dict[str, str | int | float | None]] | None = None) -> str:
    run = load(made.write(directory, rows))
    return table_text(run, summarise(run))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_table_of_a_collective(tmp_path: Path) -> None:
    lines = _lines(_table(Made(sizes=(MIB,)), tmp_path / "r"))
    assert lines[0].split() == [
        "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw", "95", "%",
        "#wrong", "DRAM", "verdict",
    ]  # fmt: skip
    assert lines[1].split() == ["(B)", "(elements)", "(us)", "(GB/s)", "(GB/s)", "(GB/s)", "(B/B)"]
    assert [line.split() for line in lines[2:]] == [
        ["1048576", "262144", "float", "sum", "-1", "devmem", "838.9", "1.250", "1.875", "1.803..1.953",
         "0", "0.0020", "unknown"],
        ["1048576", "262144", "float", "sum", "-1", "bounce", "1048.6", "1.000", "1.500", "1.442..1.562",
         "0", "4.0020", "unknown"],
        ["1048576", "262144", "float", "sum", "-1", "kernel", "524.3", "2.000", "3.000", "2.885..3.125",
         "0", "4.0020*", "unknown"],
    ]  # fmt: skip
    digits = [line.rindex(".") for line in lines[2:]]
    assert len(set(digits)) == 1, "the decimal points of DRAM stand under each other"


def both_places(made: Made, slower: float) -> list[dict[str, str | int | float | None]]:
    """The rows of each iteration out of place, which takes `slower` times as long, and in place."""
    rows = []
    for row in made.rows():
        assert isinstance(row["time_s"], float)
        assert isinstance(row["iteration"], int)
        rows.append(row | {"in_place": 0, "time_s": slower * row["time_s"]})
        rows.append(row | {"iteration": 100 + row["iteration"]})
    return rows


def test_a_collective_in_both_places_has_nccl_tests_columns_for_each(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), manifest={"notes": [CLEAN]})
    lines = _lines(_table(made, tmp_path / "r", both_places(made, 2.0)))
    assert lines[0].split() == ["out-of-place", "in-place"]
    assert lines[1].split() == [
        "size", "count", "type", "redop", "root", "path", *("time", "algbw", "busbw", "#wrong") * 2, "DRAM",
        "verdict",
    ]  # fmt: skip
    assert [line.split() for line in lines[3:]] == [
        ["1048576", "262144", "float", "sum", "-1", "devmem", "1677.7", "0.625", "0.938", "0", "838.9",
         "1.250", "1.875", "0", "0.0020", "unknown"],
        ["1048576", "262144", "float", "sum", "-1", "bounce", "2097.2", "0.500", "0.750", "0", "1048.6",
         "1.000", "1.500", "0", "4.0020", "unknown"],
        ["1048576", "262144", "float", "sum", "-1", "kernel(clean-wire)", "1048.6", "1.000", "1.500", "0",
         "524.3", "2.000", "3.000", "0", "4.0020*", "unknown"],
    ]  # fmt: skip
    assert max(map(len, lines)) <= 140


def test_the_average_is_over_both_places_and_wrong_values_are_of_one(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    rows = both_places(made, 2.0)
    rows[-1]["wrong_elements"] = 7
    text = _table(made, tmp_path / "r", rows)
    assert "# Avg bus bandwidth    : (GB/s) devmem 1.406\n" in text
    assert _lines(text)[3].split()[9:14] == ["0", "838.9", "1.250", "1.875", "7"]


def test_a_line_has_the_worse_verdict_of_its_two_places(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    robbed: dict[str, str | int | float | None] = {"machine_steal_s": 0.1, "start_s": 0.0, "end_s": 1.0}
    rows = [row | (robbed if row["in_place"] else {}) for row in both_places(made, 2.0)]
    assert _lines(_table(made, tmp_path / "r", rows))[3].split()[-1] == "stolen"


def test_a_line_whose_second_place_never_came_says_so(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem", "bounce"), manifest={"status": "failed", "error": "h2 died"})
    rows = [row for row in both_places(made, 2.0) if row["path"] == "devmem" or not row["in_place"]]
    words = _lines(_table(made, tmp_path / "r", rows))[4].split()
    assert words[5:14] == ["bounce", "2097.2", "0.500", "0.750", "0", "n/a", "n/a", "n/a", "n/a"]


def test_the_table_of_a_stream_shows_goodput_and_no_reduction(tmp_path: Path) -> None:
    lines = _lines(_table(Made(workload="stream", sizes=(10**9,)), tmp_path / "one"))
    assert "goodput" in lines[0]
    assert "redop" not in lines[0]
    assert "both ways" not in lines[0]
    assert lines[0].split() == [
        "size", "type", "path", "time", "goodput", "goodput", "95", "%", "retr", "#wrong", "DRAM", "verdict"
    ]  # fmt: skip
    assert lines[2].split() == [
        "1000000000", "byte", "devmem", "800000.0", "10.000", "9.615..10.417", "0", "0", "0.0020", "unknown"
    ]  # fmt: skip
    both = _lines(_table(Made(workload="stream", sizes=(10**9,), bidir=True), tmp_path / "two"))
    assert "both ways" in both[0]
    assert both[2].split()[4:6] == ["10.000", "20.000"]


def test_the_text_survives_a_pipe(tmp_path: Path) -> None:
    marked: dict[str, object] = {"notes": [RX_ONLY, CLEAN]}
    stream = Made(workload="stream", sizes=(10**11,), bidir=True, manifest=marked)
    for number, made in enumerate((Made(), stream)):
        text = _table(made, tmp_path / str(number))
        assert "\x1b" not in text
        assert "…" not in text
        assert max(len(line) for line in text.splitlines()) <= 120
        assert text.endswith("\n")
        assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_the_footer_of_a_good_run(tmp_path: Path) -> None:
    text = _table(Made(), tmp_path / "r")
    assert "# Out of bounds values : 0 OK\n" in text
    assert "# Avg bus bandwidth    : (GB/s) devmem 1.875, bounce 1.500, kernel 3.000\n" in text
    assert "devmem against bounce is like against like" in text
    assert "kernel is C" in text
    assert "# * derived in closed form" in text
    assert "Stolen" not in text
    assert "THIS RUN" not in text


RX_ONLY = {"path": "devmem", "mark": "RX only", "text": "no devmem TX"}
CLEAN = {"path": "kernel", "mark": "clean wire", "text": "not impaired"}


def test_a_note_marks_each_row_and_average_of_its_path_and_ends_the_table(tmp_path: Path) -> None:
    text = _table(Made(manifest={"notes": [RX_ONLY, CLEAN]}), tmp_path / "r")
    assert [line.split()[5] for line in _lines(text)[2:]] == [
        "devmem(RX-only)", "bounce", "kernel(clean-wire)"
    ] * 3  # fmt: skip
    assert "\n# devmem(RX-only): no devmem TX\n# kernel(clean-wire): not impaired\n" in text
    average = "(GB/s) devmem(RX-only) 1.875, bounce 1.500, kernel(clean-wire) 3.000\n"
    assert f"# Avg bus bandwidth    : {average}" in text


@pytest.mark.parametrize("workload", ["all_reduce", "stream"])
def test_every_row_has_as_many_words_whatever_is_marked(tmp_path: Path, workload: str) -> None:
    plain = Made(workload=workload, sizes=(10**9,), bidir=True)
    marked = Made(workload=workload, sizes=(10**9,), bidir=True, manifest={"notes": [RX_ONLY, CLEAN]})
    gone = [row | {"wrong_elements": None, "tcp_retrans_segs": None} for row in marked.rows()]
    tables = [_table(plain, tmp_path / "plain"), _table(marked, tmp_path / "marked", gone)]
    assert len({len(line.split()) for table in tables for line in _lines(table)[2:]}) == 1


@pytest.mark.parametrize("workload", ["all_reduce", "stream"])
def test_the_line_of_the_average_ends_with_a_number(tmp_path: Path, workload: str) -> None:
    made = Made(workload=workload, sizes=(10**9,), paths=("devmem",), manifest={"notes": [RX_ONLY]})
    (average,) = (line for line in _table(made, tmp_path / "r").splitlines() if line.startswith("# Avg "))
    found = float(average.split()[-1])
    assert found == pytest.approx(1.25 * (8 if workload == "stream" else 1.5))


def test_without_derived_values_there_is_no_star(tmp_path: Path) -> None:
    assert "*" not in _table(Made(paths=("devmem", "bounce")), tmp_path / "r")


def test_wrong_values_fail_and_are_counted(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    rows = made.rows()
    rows[0]["wrong_elements"], rows[-1]["wrong_elements"] = 3, 4
    text = _table(made, tmp_path / "r", rows)
    assert "# Out of bounds values : 7 FAILED\n" in text
    assert _lines(text)[2].split()[-3] == "7"


def test_the_footer_says_how_much_of_a_stream_was_compared(tmp_path: Path) -> None:
    text = _table(Made(workload="stream", sizes=(10**9,), paths=("devmem", "bounce")), tmp_path / "r")
    assert "# Compared by content  : devmem 50.0 %, bounce 50.0 % of what arrived, a sample\n" in text
    assert "Compared" not in _table(Made(), tmp_path / "collective")


def test_unchecked_values_are_not_called_right_in_silence(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    rows = [row | {"wrong_elements": None} for row in made.rows()]
    text = _table(made, tmp_path / "r", rows)
    assert "0 OK (1 of 1 rows above were not checked)" in text
    assert _lines(text)[2].split()[-3] == "n/a"


def test_stolen_time_above_two_percent_is_said(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    rows = [row | {"machine_steal_s": 0.1, "start_s": 0.0, "end_s": 1.0} for row in made.rows()]
    assert "# Stolen CPU time reached 5.0 % (limit 2 %)" in _table(made, tmp_path / "r", rows)


def test_a_failed_run_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    made = Made(manifest={"status": "failed", "error": "rank 2 on h3 died"})
    text = _table(made, tmp_path / "r", made.rows()[:-1])
    assert "# THIS RUN IS FAILED: rank 2 on h3 died\n" in text
    assert "# Incomplete iterations left out: 1\n" in text
    assert len(_lines(text)) == 2 + 9


def test_a_run_without_rows_says_that(tmp_path: Path) -> None:
    text = _table(Made(), tmp_path / "r", [])
    assert "No iteration was completed" in text
    assert "Avg bus bandwidth" not in text


def test_the_footer_says_what_was_hurt_on_purpose_and_when(tmp_path: Path) -> None:
    text = _table(Made(sizes=(MIB,), manifest={"faults": FAULTS}), tmp_path / "r")
    assert "# Fault link-down:h1-eth0,at=1s,for=1s: down at 1.002 s, up not before the end\n" in text
    assert "# Fault" not in _table(Made(sizes=(MIB,)), tmp_path / "sound")


def test_the_footer_has_a_line_for_each_traffic_beside(tmp_path: Path) -> None:
    lines = _table(Made(sizes=(MIB,), manifest={"traffic": TRAFFIC}), tmp_path / "r").splitlines()
    assert [line for line in lines if line.startswith("# Traffic ")] == [
        "# Traffic poisson:load=0.3: 30 flows (27 completed, 1 failed), 5 of 6 MB in 4.0 s (10 Mbit/s), "
        "50/95/99 %: 12.3/50/2500 ms",
        "# Traffic constant:rate=1Mbit: 1 flow, 0.5 of 0.5 MB in 4.0 s (1 Mbit/s)",
    ]
