"""manifest.json before, during and after a run."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from nodes.compiled.state import state
from workloads.collective import CollectiveOptions
from workloads.experiment.manifest import ManifestFile, sources
from workloads.experiment.manifest_records import FILES_MAX, Git, HostRecord
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
    assert found["versions"]["nodes"] == str(state())


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
        ("6.18.55", None, ("devmem", "kernel"), {}),
        ("6.18.55", "loss=0.01", ("devmem", "kernel"), {"kernel": "clean wire"}),
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


def _git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
    command = ["git", *identity, "-C", str(directory), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a commit."""
    made = tmp_path / "checkout"
    made.mkdir()
    _git(made, "init", "-q")
    (made / "file").write_text("1")
    _git(made, "add", "file")
    _git(made, "commit", "-q", "-m", "x")
    return made


@pytest.mark.parametrize("dirty", [False, True])
def test_a_checkout_of_another_owner_has_its_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, dirty: bool
) -> None:
    commit = _git(checkout, "rev-parse", "HEAD")
    if dirty:
        (checkout / "file").write_text("2")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its tests
    with pytest.raises(subprocess.CalledProcessError):
        _git(checkout, "rev-parse", "HEAD")
    assert sources(checkout) == (Git(commit, dirty, ("M file",) if dirty else ()), None)


def test_the_variables_of_a_git_hook_name_no_other_checkout(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = _git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert sources(checkout) == (Git(commit, False), None)


def test_a_repository_around_a_copy_of_the_sources_is_not_theirs(checkout: Path) -> None:
    copy = checkout / "copy"
    copy.mkdir()
    (copy / "file").write_text("1")
    assert sources(copy) == (None, f"the repository that {copy} lies in does not have these sources")
    _git(checkout, "add", "copy")
    _git(checkout, "commit", "-q", "-m", "vendored")
    (checkout / "file").write_text("2")
    assert sources(copy) == (Git(_git(checkout, "rev-parse", "HEAD"), False), None)


def test_the_manifest_says_why_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found, why = sources(tmp_path)
    assert found is None
    assert why is not None
    assert why.startswith("fatal: not a git repository")
    monkeypatch.setenv("PATH", "")
    assert sources(tmp_path) == (None, "[Errno 2] No such file or directory: 'git'")


def test_a_link_is_not_followed_into_the_sums(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    (tmp_path / "run/h1.log").symlink_to("/etc/passwd")
    manifest.finish("failed", "h1 died")
    assert json.loads((tmp_path / "run/manifest.json").read_text())["files"] == {}


def test_sealing_takes_a_large_capture_in_pieces(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    with open(tmp_path / "run/h1.pcapng", "wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        manifest.finish("failed", "h1 died")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_room_for_the_end_is_kept_until_the_end_and_no_longer(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    room = tmp_path / "run/.manifest.json"
    assert room.stat().st_blocks * 512 >= 64 << 10
    manifest.finish("complete")
    assert room.stat().st_blocks * 512 >= 64 << 10
    manifest.finish("failed", "report.html cannot be written")
    assert not room.exists()
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    assert (found["status"], found["files"]) == ("failed", {})


def test_a_command_line_that_is_not_utf_8_is_recorded(tmp_path: Path) -> None:
    ManifestFile(tmp_path / "run", ["run.py", "--results", "/tmp/\udcff"], CONFIG)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["argv"][2] == "/tmp/\\xff"


def test_the_files_that_differ_from_the_commit_are_named(checkout: Path) -> None:
    (checkout / "file").write_text("2")
    for number in range(FILES_MAX):
        (checkout / f"new{number:03}").write_text("")
    found, _ = sources(checkout)
    assert found is not None
    assert found.dirty
    assert (found.files[:2], len(found.files)) == (("M file", "?? new000"), FILES_MAX)


def test_the_kernels_settings_are_recorded_before_the_run(tmp_path: Path) -> None:
    manifest = ManifestFile(tmp_path / "run", ["run.py"], CONFIG)
    manifest.add_network((), (), (HostRecord(("h1", "h2"), {"net.ipv4.tcp_sack": "1"}),))
    found = json.loads((tmp_path / "run/manifest.json").read_text())
    assert found["status"] == "running"
    assert found["hosts"] == [{"nodes": ["h1", "h2"], "sysctls": {"net.ipv4.tcp_sack": "1"}}]
