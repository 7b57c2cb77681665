"""What load refuses, and with which sentence."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load
from analysis.results_error import ResultsError
from analysis.samples import COLUMNS, REQUIRED_COLUMNS
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import Made, write_samples


@pytest.mark.parametrize("column", REQUIRED_COLUMNS)
def test_a_missing_column_is_named(run_dir: Path, column: str) -> None:
    samples = run_dir / "samples.csv"
    pd.read_csv(samples).drop(columns=column).to_csv(samples, index=False)
    with pytest.raises(ResultsError, match=rf"samples\.csv lacks column {column};"):
        load(run_dir)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"manifest\.json is missing"):
        load(tmp_path)


def test_missing_samples_of_a_complete_run_are_named(run_dir: Path) -> None:
    (run_dir / "samples.csv").unlink()
    with pytest.raises(ResultsError, match=r"samples\.csv is missing although"):
        load(run_dir)


@pytest.mark.parametrize("version", [1, 4, "2", "3", None])
def test_an_unknown_schema_version_is_refused(run_dir: Path, version: object) -> None:
    manifest = json.loads((run_dir / "manifest.json").read_text()) | {"schema_version": version}
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=f"schema_version {version!r}, this analysis reads 2 and 3"):
        load(run_dir)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ('{"schema_version": 2, "run_id": "r", "status": "odd", "config": {}}', "odd"),
        ('{"schema_version": 3, "run_id": "r", "status": "odd", "config": {}}', "odd"),
        ('{"schema_version": 3, "run_id": "r", "status": "failed", "config": {}}', "`measure`"),
        ('{"schema_version": 2, "run_id": "r", "status": "failed", "config": {}}', "`measure`"),
        (
            '{"schema_version": 2, "run_id": "r", "status": "failed", "config": {"workload": "gossip"}}',
            "workload 'gossip' is unknown to schema version 2",
        ),
    ],
)
def test_a_broken_manifest_is_refused(run_dir: Path, text: str, sentence: str) -> None:
    (run_dir / "manifest.json").write_text(text)
    with pytest.raises(ResultsError, match=sentence):
        load(run_dir)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("time_s", "", "line 2 has '' in column time_s"),
        ("time_s", "NaN", "line 2 has 'NaN' in column time_s"),
        ("app_cpu_s", "nan", "column app_cpu_s, which takes a number or an empty cell"),
        ("time_s", "0", "line 2 has '0' in column time_s, which takes a number from 1e-09 to 1e"),
        ("time_s", "inf", "line 2 has 'inf' in column time_s, which takes a number from"),
        ("rx_packets", "1e300", "line 2 has '1e300' in column rx_packets, which takes a number from 0"),
        ("rx_packets", "-1", "line 2 has '-1' in column rx_packets, which takes a number from 0"),
        ("size_bytes", "1.5", "line 2 has '1.5' in column size_bytes, which takes a whole number"),
        ("warmup", "2", "line 2 has '2' in column warmup, which takes a number from 0 to 1"),
        ("path", "two words", "line 2 has 'two words' in column path, which takes a word"),
        ("host", "", "line 2 has '' in column host, which takes a word"),
        ("type", "\x1b[2J", r"line 2 has '\\x1b\[2J' in column type, which takes a word"),
        ("rank", "1", "two rows for"),
    ],
)
def test_a_bad_value_is_named_with_its_line(tmp_path: Path, column: str, value: str, sentence: str) -> None:
    made = Made()
    rows = made.rows()
    rows[0][column] = value
    with pytest.raises(ResultsError, match=sentence):
        load(made.write(tmp_path / "r", rows))


def test_an_empty_file_is_refused(run_dir: Path) -> None:
    (run_dir / "samples.csv").write_text("")
    with pytest.raises(ResultsError, match="is not a table"):
        load(run_dir)


def test_the_word_none_stays_a_word(tmp_path: Path) -> None:
    run = load(Made(workload="stream", sizes=(1000,)).write(tmp_path / "r"))
    assert set(run.samples["redop"]) == {"none"}


def test_warm_up_rows_are_kept_and_not_measured(run_dir: Path) -> None:
    run = load(run_dir)
    assert len(run.samples) == 3 * 3 * 3 * (1 + 2) * 4
    assert len(run.measured) == 3 * 3 * 3 * 2 * 4
    assert run.incomplete_iterations == 0


def test_an_iteration_without_every_rank_is_left_out(run_dir: Path) -> None:
    made = Made()
    write_samples(run_dir / "samples.csv", made.rows()[:-1])
    run = load(run_dir)
    assert run.incomplete_iterations == 1
    assert len(run.samples) - len(run.measured) == 3 * 3 * 3 * 4 + 3


def test_an_array_of_no_bytes_has_a_time_and_no_bandwidth(tmp_path: Path) -> None:
    rows = [row | {"size_bytes": 0, "count_elements": 0} for row in Made(sizes=(1 << 20,)).rows()]
    found = summarise(load(Made(sizes=(0,)).write(tmp_path / "r", rows)))
    assert {(row.algbw_GB_per_s, row.busbw_GB_per_s) for row in found} == {(0.0, 0.0)}
    assert [round(row.time_us, 1) for row in found] == [838.9, 1048.6, 524.3]
    assert found[0].busbw_ratio_to_bounce == pytest.approx(1.25)


def test_a_stream_of_which_nothing_arrived_is_left_out(tmp_path: Path) -> None:
    made = Made(workload="stream", sizes=(1000,), paths=("devmem",))
    rows = made.rows()
    for row in rows:
        if row["repetition"] == 0:
            row["payload_received_bytes"] = 0
    run = load(made.write(tmp_path / "r", rows))
    assert run.incomplete_iterations == 2
    assert set(run.measured["repetition"]) == {1, 2}


def test_a_failed_run_may_lack_its_samples(tmp_path: Path) -> None:
    directory = Made(manifest={"status": "failed", "error": "h2 died"}).write(tmp_path / "r")
    (directory / "samples.csv").unlink()
    assert load(directory).measured.empty


def test_a_file_cut_in_a_row_loses_that_row_and_says_so(tmp_path: Path) -> None:
    """Wherever it is cut in the last row: no figure comes of half a number or half a row."""
    made = Made(sizes=(1 << 20,), paths=("devmem",), repetitions=2, iterations=1)
    directory = made.write(tmp_path / "r")
    samples = directory / "samples.csv"
    whole = samples.read_bytes()
    rows = load(directory).samples
    last = whole.rindex(b"\n", 0, -2) + 1
    for length in (*range(last, len(whole), 11), *range(len(whole) - 4, len(whole))):
        samples.write_bytes(whole[:length])
        run = load(directory)
        assert run.samples.equals(rows.iloc[:-1])
        line = len(rows) + 1
        cut = f"samples.csv ends in the middle of line {line}, which is left out"
        assert run.damage == (() if length == last else (cut,)), length


def test_a_cut_file_is_said_in_the_table(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    samples.write_bytes(samples.read_bytes()[:-5])
    run = load(run_dir)
    assert "\n# samples.csv ends in the middle of line 325, which is left out\n" in table_text(run, ())


def test_a_file_cut_between_two_rows_is_told_by_its_digest(run_dir: Path) -> None:
    samples, manifest = run_dir / "samples.csv", run_dir / "manifest.json"
    digest = hashlib.sha256(samples.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"files": {"samples.csv": digest}}))
    assert load(run_dir).damage == ()
    lines = samples.read_bytes().splitlines(keepends=True)
    samples.write_bytes(b"".join(lines[:-4]))
    said = "samples.csv is not the file that the run wrote: its SHA-256 is not the manifest's"
    assert load(run_dir).damage == (said,)


@pytest.mark.parametrize("cells", [-1, 1])
def test_a_row_with_other_cells_than_the_header_is_refused(run_dir: Path, cells: int) -> None:
    samples = run_dir / "samples.csv"
    lines = samples.read_text().splitlines()
    width = len(COLUMNS)
    lines[3] = lines[3].rpartition(",")[0] if cells < 0 else lines[3] + ",1"
    samples.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError, match=f"line 4 has {width + cells} cells, the header has {width}"):
        load(run_dir)


@pytest.mark.parametrize("length", [0, 100])
def test_a_failed_run_may_lack_its_header(tmp_path: Path, length: int) -> None:
    directory = Made(manifest={"status": "failed", "error": "no space"}).write(tmp_path / "r")
    (directory / "samples.csv").write_bytes((directory / "samples.csv").read_bytes()[:length])
    run = load(directory)
    assert (run.samples.empty, run.damage) == (True, ("samples.csv ends before its first row",))
