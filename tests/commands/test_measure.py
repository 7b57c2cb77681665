"""How a measured run is recorded whose results cannot be drawn: never as complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.results_error import ResultsError
from commands.measure import _analysed, shown
from tests.analysis.synthetic import MIB, Made, write_samples
from workloads.collective import CollectiveOptions
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.records import ExperimentConfig, ExperimentError

CONFIG = ExperimentConfig("star", 4, "all_reduce", (MIB,), ("devmem",), CollectiveOptions())


@pytest.fixture
def measured(tmp_path: Path) -> ManifestFile:
    """A run that has just ended."""
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    write_samples(tmp_path / "run/samples.csv", Made(sizes=(MIB,), paths=("devmem",)).rows())
    manifest.finish("complete")
    return manifest


def recorded(tmp_path: Path) -> Any:
    assert not (tmp_path / "run/.manifest.json").exists()
    return json.loads((tmp_path / "run/manifest.json").read_text())


def test_a_drawn_run_is_complete_and_sealed(tmp_path: Path, measured: ManifestFile) -> None:
    _analysed(tmp_path / "run", measured)
    found = recorded(tmp_path)
    assert (found["status"], found["error"]) == ("complete", None)
    assert {"samples.csv", "summary.csv", "report.html", "figures/busbw.png"} <= set(found["files"])


def test_a_run_whose_report_cannot_be_written_is_not_complete(tmp_path: Path, measured: ManifestFile) -> None:
    (tmp_path / "run/report.html").mkdir()
    analysis = _analysed(tmp_path / "run", measured)
    found = recorded(tmp_path)
    assert found["status"] == "failed"
    assert found["error"] == f"{tmp_path / 'run/report.html'} cannot be written (Is a directory)"
    assert "# Out of bounds values : 0 OK" in analysis.table_text
    assert "summary.csv" in found["files"]


def test_a_run_whose_rows_cannot_be_read_is_not_complete(tmp_path: Path, measured: ManifestFile) -> None:
    (tmp_path / "run/samples.csv").write_text("path\n")
    with pytest.raises(ResultsError):
        _analysed(tmp_path / "run", measured)
    assert recorded(tmp_path)["status"] == "failed"


def test_a_run_without_a_row_has_failed(tmp_path: Path, measured: ManifestFile) -> None:
    samples = tmp_path / "run/samples.csv"
    samples.write_text(samples.read_text().splitlines()[0] + "\n")
    with pytest.raises(ExperimentError, match="no iteration was completed, so the run has no result"):
        _analysed(tmp_path / "run", measured)
    assert recorded(tmp_path)["status"] == "failed"


def test_the_report_is_named_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "results/it/report.html"
    monkeypatch.chdir(tmp_path)
    assert str(shown(report)) == "results/it/report.html"
    assert shown(Path("results/report.html")) == Path("results/report.html")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert shown(report) == report
    (tmp_path / "elsewhere").rmdir()
    assert shown(report) == report
