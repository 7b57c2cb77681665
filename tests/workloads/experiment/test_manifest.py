"""manifest.json before, during and after a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from workloads.collective import CollectiveOptions
from workloads.experiment.manifest import ManifestFile
from workloads.experiment.records import ExperimentConfig

CONFIG = ExperimentConfig("star", 4, "all_reduce", (1024,), ("devmem",), CollectiveOptions())


def test_the_manifest_is_there_before_the_run_and_says_running(tmp_path: Path) -> None:
    ManifestFile(tmp_path / "run", ["run.py", "--hosts", "4"], CONFIG)
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    assert found["schema_version"] == 3
    assert (found["run_id"], found["status"], found["error"]) == ("run", "running", None)
    assert found["argv"] == ["run.py", "--hosts", "4"]
    assert found["config"]["sizes_bytes"] == [1024]
    assert found["config"]["host_mem_bw_bytes_per_s"] is None
    assert found["environment"]["cpu_count"] >= 1
    assert found["versions"]["ray"]


def test_sealing_records_status_and_the_sum_of_every_file(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    (tmp_path / "run/samples.csv").write_text("path\n")
    manifest.finish("failed", "host h2 died")
    (tmp_path / "run/figures").mkdir()
    (tmp_path / "run/figures/a.png").write_bytes(b"png")
    manifest.seal()
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    assert (found["status"], found["error"]) == ("failed", "host h2 died")
    assert found["finished_at"] >= found["started_at"]
    sums = {"samples.csv": b"path\n", "figures/a.png": b"png"}
    assert found["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in sums.items()}


@pytest.mark.parametrize(
    ("kernel", "impair", "paths", "marks"),
    [
        ("6.12", None, ("devmem", "bounce"), {"devmem": "RX only"}),
        ("6.12", None, ("bounce",), {}),
        ("6.18", None, ("devmem", "kernel"), {}),
        ("6.18", "loss=0.01", ("devmem", "kernel"), {"kernel": "clean wire"}),
        ("v17", "loss=0.01", ("kernel", "devmem"), {"devmem": "RX only", "kernel": "clean wire"}),
    ],
)
def test_what_a_path_is_not_is_noted_for_every_table(
    tmp_path: Path, kernel: str, impair: str | None, paths: tuple[str, ...], marks: dict[str, str]
) -> None:
    own = CollectiveOptions()
    config = ExperimentConfig("star", 4, "all_reduce", (1024,), paths, own, kernel=kernel, impair=impair)
    ManifestFile(tmp_path / "run", ["run.py"], config)
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    assert found["config"]["kernel"] == kernel
    assert {note["path"]: note["mark"] for note in found["notes"]} == marks
    sentences = " ".join(note["text"] for note in found["notes"])
    assert ("no devmem TX" in sentences) == ("devmem" in marks)
    assert ("not impaired" in sentences) == ("kernel" in marks)


def test_two_runs_never_share_a_directory(tmp_path: Path) -> None:
    ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    with pytest.raises(FileExistsError):
        ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
