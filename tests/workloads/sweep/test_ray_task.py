"""What a machine does around a cell: whether it may run it, what it sends back, what it does not keep."""

from __future__ import annotations

import fcntl
import io
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from workloads.sweep import ray_task

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(project: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ["git", "-C", str(project), *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_machine_without_the_sources_refuses_the_cell(tmp_path: Path) -> None:
    sentence = (
        rf"^machine \S+ has no {tmp_path}/run\.py; check it out there, or name its folder by --project$"
    )
    assert re.match(sentence, ray_task.obstacle(tmp_path, ""))


def test_a_machine_with_other_sources_refuses_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "run.py").write_text("")
    assert ray_task.obstacle(tmp_path, COMMIT) == ""  # a copy without git says nothing of its version
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "run.py")
    git(tmp_path, "commit", "-q", "-m", "x")
    own = git(tmp_path, "rev-parse", "HEAD")
    assert ray_task.obstacle(tmp_path, own) == ray_task.obstacle(tmp_path, "") == ""
    sentence = rf"^machine \S+ has commit {own[:10]} of the sources, and this one 0123456789; update it$"
    assert re.match(sentence, ray_task.obstacle(tmp_path, COMMIT))


def test_a_runs_directory_and_its_log_come_back_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_task, "_PIECE_BYTES", 64)
    (tmp_path / "c1-1" / "figures").mkdir(parents=True)
    (tmp_path / "c1-1" / "manifest.json").write_text("{}")
    (tmp_path / "c1-1" / "figures" / "a.png").write_bytes(bytes(range(256)))
    (tmp_path / "c1-1" / "elsewhere").symlink_to("/etc")
    (tmp_path / "c1-1.log").write_text("said")
    pieces = list(ray_task.packed(tmp_path / "c1-1"))
    assert {len(piece) for piece in pieces[:-1]} == {64}
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        names = {"c1-1/", "c1-1/figures/", "c1-1/manifest.json", "c1-1/figures/a.png", "c1-1.log"}
        assert set(archive.namelist()) == names
        assert archive.read("c1-1/figures/a.png") == bytes(range(256))


def test_a_run_that_wrote_nothing_sends_its_log(tmp_path: Path) -> None:
    (tmp_path / "c1-1.log").write_text("run.py: no")
    with zipfile.ZipFile(io.BytesIO(b"".join(ray_task.packed(tmp_path / "c1-1")))) as archive:
        assert archive.namelist() == ["c1-1.log"]


def test_what_killed_tasks_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("dmtb-cell-dead", "dmtb-cell-alive", "dmtb-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").write_text("")
    (tmp_path / "dmtb-cell-new").mkdir()  # whose lock comes next
    with open(tmp_path / "dmtb-cell-alive" / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ray_task.remove_abandoned(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["dmtb-cell-alive", "dmtb-cell-new", "dmtb-other"]
