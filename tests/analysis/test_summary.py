"""One row a path and size, with known answers; and a summary.csv that any reader can read."""

import csv
from pathlib import Path

import pytest

from analysis.load import load
from analysis.summary import SummaryRow, csv_text, of_largest_size, summarise, to_frame
from analysis.table import table_text
from tests.analysis.synthetic import MIB, Cell, Made


def _by_path(made: Made, directory: Path) -> dict[str, SummaryRow]:
    summary = summarise(load(made.write(directory)))
    return {row.path: row for row in of_largest_size(summary, made.measure())}


def test_rows_come_by_size_and_then_in_the_order_asked_for(run_dir: Path) -> None:
    rows = summarise(load(run_dir))
    order = [(row.size_bytes // MIB, row.path) for row in rows]
    assert order == [(s, p) for s in (1, 4, 16) for p in ("devmem", "bounce", "kernel")]


def test_times_bandwidths_and_ratios_are_exact(tmp_path: Path) -> None:
    rows = _by_path(Made(), tmp_path / "r")
    devmem = rows["devmem"]
    assert devmem.time_us == pytest.approx(16 * MIB / 1.25e3)
    assert devmem.time_min_us == pytest.approx(0.96 * devmem.time_us)
    assert devmem.time_max_us == pytest.approx(1.04 * devmem.time_us)
    assert devmem.algbw_GB_per_s == pytest.approx(1.25)
    assert devmem.busbw_GB_per_s == pytest.approx(1.5 * 1.25)
    assert devmem.busbw_ci_low_GB_per_s == pytest.approx(1.5 * 1.25 / 1.04)
    assert devmem.busbw_ci_high_GB_per_s == pytest.approx(1.5 * 1.25 / 0.96)
    assert devmem.busbw_ratio_to_bounce == pytest.approx(1.25)
    assert devmem.busbw_ratio_to_bounce_ci_low == pytest.approx(1.25)
    assert devmem.busbw_ratio_to_kernel == pytest.approx(0.625)
    assert rows["bounce"].busbw_ratio_to_bounce == 1
    assert (devmem.repetitions, devmem.iterations, devmem.nranks) == (3, 6, 4)
    assert devmem.goodput_gbit_per_s is None


def test_cpu_seconds_are_per_decimal_gb_sent_and_received(tmp_path: Path) -> None:
    rows = _by_path(Made(), tmp_path / "r")
    # A rank moves 3 S in S / 1.25e9 seconds and spends 0.2 and 0.7 of them.
    assert rows["devmem"].app_cpu_s_per_GB == pytest.approx(0.2 / 1.25 / 3)
    assert rows["devmem"].endpoint_cpu_s_per_GB == pytest.approx(0.7 / 1.25 / 3)
    assert rows["devmem"].cpu_s_per_GB == pytest.approx(0.9 / 1.25 / 3)


def test_an_unknown_endpoint_share_makes_the_sum_unknown_but_on_the_kernel_path(tmp_path: Path) -> None:
    made = Made()
    rows = [row | {"endpoint_cpu_s": None} for row in made.rows()]
    found = {row.path: row for row in summarise(load(made.write(tmp_path / "r", rows)))}
    assert found["devmem"].cpu_s_per_GB is None
    assert found["kernel"].cpu_s_per_GB == found["kernel"].app_cpu_s_per_GB


def test_stolen_time_is_the_worst_repetitions_share_of_all_processors(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(MIB,))
    rows = made.rows()
    for row in rows:
        if row["repetition"] == 2:
            assert isinstance(row["time_s"], float)
            row["machine_steal_s"] = 0.2 * row["time_s"]
    found = summarise(load(made.write(tmp_path / "r", rows)))[0]
    assert found.steal_fraction_max == pytest.approx(0.1)  # two processors


def test_wrong_values_of_a_warm_up_iteration_count(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(MIB, 4 * MIB))
    rows = made.rows()
    assert rows[0]["warmup"] == 1
    rows[0]["wrong_elements"] = 5
    found = summarise(load(made.write(tmp_path / "r", rows)))
    assert [row.wrong_elements for row in found] == [5, 0]


def test_unchecked_is_unknown_and_not_right(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(MIB,))
    rows = [row | {"wrong_elements": None} for row in made.rows()]
    assert summarise(load(made.write(tmp_path / "r", rows)))[0].wrong_elements is None


def test_a_single_repetition_of_one_iteration_has_no_interval(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), repetitions=1, iterations=1)
    found = _by_path(made, tmp_path / "r")["devmem"]
    assert found.busbw_GB_per_s == pytest.approx(1.875)
    assert found.busbw_ci_low_GB_per_s is None
    assert found.busbw_ratio_to_bounce == pytest.approx(1.25)
    assert found.busbw_ratio_to_bounce_ci_low is None


def test_a_stream_is_one_row_a_path_whatever_each_repetition_moved(tmp_path: Path) -> None:
    made = Made(workload="stream", sizes=(10**9,))
    rows = made.rows()
    for row in rows:
        for name in ("size_bytes", "payload_received_bytes"):
            moved = row[name]
            assert isinstance(moved, int)
            row[name] = moved + (1000 * int(str(row["repetition"])) if moved else 0)
    found = summarise(load(made.write(tmp_path / "r", rows)))
    assert [row.path for row in found] == ["devmem", "bounce", "kernel"]
    assert found[0].goodput_gbit_per_s == pytest.approx(10, rel=1e-3)
    assert found[0].both_ways_gbit_per_s == found[0].goodput_gbit_per_s
    assert found[0].size_bytes == 10**9 + 1000


def test_both_ways_of_a_stream_are_added_and_one_way_is_not(tmp_path: Path) -> None:
    found = _by_path(Made(workload="stream", sizes=(10**9,), bidir=True), tmp_path / "r")["devmem"]
    assert found.goodput_gbit_per_s == pytest.approx(10)
    assert found.both_ways_gbit_per_s == pytest.approx(20)
    assert found.algbw_GB_per_s == found.busbw_GB_per_s == pytest.approx(1.25)


def test_a_run_without_a_completed_iteration_has_no_rows(tmp_path: Path) -> None:
    assert summarise(load(Made().write(tmp_path / "r", []))) == ()
    assert of_largest_size((), Made().measure()) == ()


def test_paths_are_compared_at_a_size_that_all_have(tmp_path: Path) -> None:
    made = Made()
    rows = [row for row in made.rows() if not (row["path"] == "kernel" and row["size_bytes"] == 16 * MIB)]
    found = of_largest_size(summarise(load(made.write(tmp_path / "r", rows))), made.measure())
    assert {row.size_bytes for row in found} == {4 * MIB}


def test_the_csv_says_what_the_rows_say_and_never_nan(run_dir: Path, tmp_path: Path) -> None:
    rows = summarise(load(run_dir))
    (tmp_path / "summary.csv").write_text(csv_text(rows))
    text = (tmp_path / "summary.csv").read_text()
    assert "nan" not in text.lower()
    assert "inf" not in text.lower()
    with (tmp_path / "summary.csv").open() as file:
        read = list(csv.DictReader(file))
    assert float(read[0]["time_us"]) == rows[0].time_us
    assert read[0]["goodput_gbit_per_s"] == ""
    assert list(to_frame(rows).columns) == list(read[0])


def test_a_word_that_a_spreadsheet_would_compute_is_quoted(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    words: dict[str, Cell] = {"workload": "=1+1", "type": "@SUM(A1)", "redop": "+cmd", "root": "-1"}
    run = load(made.write(tmp_path / "r", [row | words for row in made.rows()]))
    (read,) = csv.DictReader(csv_text(summarise(run)).splitlines())
    found = [read[name] for name in words]
    assert found == ["'=1+1", "'@SUM(A1)", "'+cmd", "-1"]


def test_a_prediction_stands_beside_the_measurement_of_its_size(tmp_path: Path) -> None:
    made = Made(sizes=(1024, 4096), manifest={"predictions": [{"size_bytes": 4096, "time_s": 0.25}]})
    run = load(made.write(tmp_path / "r"))
    rows = summarise(run)
    assert {row.predicted_us for row in rows if row.size_bytes == 4096} == {250_000.0}
    assert {row.predicted_us for row in rows if row.size_bytes == 1024} == {None}
    header = table_text(run, rows).splitlines()[1]
    assert "predicted" in header
    plain = load(Made().write(tmp_path / "plain"))
    assert "predicted" not in table_text(plain, summarise(plain))
