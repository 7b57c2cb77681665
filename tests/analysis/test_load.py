"""What load refuses, and with which sentence."""

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import REQUIRED_COLUMNS, ResultsError, load
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
        ("time_s", "0", "line 2 has a time_s that is not above 0"),
        ("size_bytes", "0", "line 2 has a size_bytes that is not above 0"),
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
