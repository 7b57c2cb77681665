"""The tables of a run as Parquet files: the same values, typed, and a sentence without pyarrow."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

from analysis.analyse import analyse
from analysis.load import load
from analysis.results_error import ResultsError
from analysis.summary import summarise, to_frame
from commands.dispatch import main


def test_parquet_has_the_rows_of_the_csv_files(run_dir: Path) -> None:
    assert analyse(run_dir, parquet=True).unwritten == ()
    run = load(run_dir)
    samples = pd.read_parquet(run_dir / "samples.parquet")
    pd.testing.assert_frame_equal(samples, run.samples, check_dtype=False)
    assert samples["size_bytes"].dtype == "int64"
    table = pyarrow.parquet.read_table(run_dir / "samples.parquet")
    assert table["compute_s"].null_count == len(run.samples)
    assert table.schema.metadata == {b"schema_version": b"3", b"run_id": b"r1"}
    summary = pd.read_parquet(run_dir / "summary.parquet")
    pd.testing.assert_frame_equal(summary, to_frame(summarise(run)), check_dtype=False)
    written = {path.name for path in run_dir.glob("*.parquet")}
    assert written == {f"{name}.parquet" for name in ("samples", "summary", "nics", "usage", "link_usage")}


def test_the_same_run_gives_the_same_bytes(run_dir: Path) -> None:
    analyse(run_dir, parquet=True)
    before = {path: path.read_bytes() for path in run_dir.glob("*.parquet")}
    analyse(run_dir, parquet=True)
    assert before == {path: path.read_bytes() for path in before}


def test_nothing_of_it_is_written_unasked(run_dir: Path) -> None:
    analyse(run_dir)
    assert [*run_dir.glob("*.parquet")] == []


def test_without_pyarrow_it_is_refused_by_a_sentence(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else found(name))
    with pytest.raises(ResultsError, match="needs the Python package pyarrow, which is not installed"):
        analyse(run_dir, parquet=True)
    monkeypatch.setattr(sys, "argv", ["run.py", "report", str(run_dir), "--parquet"])
    assert main() == 1
    assert "or leave --parquet out" in capsys.readouterr().err
