"""A cell as a process: how it ends is a sentence, and it ends with whatever started it. sh plays run.py."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from workloads.sweep.cell_process import CellProcess, command_of
from workloads.sweep.local import LocalRunner
from workloads.sweep.runner import Began, Ended, Event, Job

PROJECT = Path(__file__).resolve().parents[3]


def events_of(script: str, cells: Path, limit_s: float = 30.0) -> list[Event]:
    def command(run_dir: Path, words: Sequence[str]) -> Sequence[str]:
        return "/bin/sh", "-c", script, str(run_dir), *words

    runner = LocalRunner(cells, limit_s, command)
    runner.start(Job("c1", "c1-1", ("--seed=1",)))
    found: list[Event] = []
    while not any(isinstance(each, Ended) for each in found):
        found += runner.events()
    runner.close()
    return found


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mkdir $0", ""),
        ("true", "it wrote no results; see c1-1.log"),
        ("echo 'run.py: one'; echo 'run.py: no host h9' >&2; echo x; exit 1", "no host h9"),
        ("mkdir $0; echo '{\"error\": \"a\"}' > $0/manifest.json; echo run.py: b; exit 1", "a"),
        ("mkdir $0; echo '{' > $0/manifest.json; exit 3", "it ended with status 3; see c1-1.log"),
        ("kill -9 $$", "it was ended by SIGKILL; see c1-1.log"),
    ],
)  # fmt: skip
def test_how_a_cell_ends_is_a_sentence(script: str, reason: str, tmp_path: Path) -> None:
    began, ended = events_of(script, tmp_path)
    assert isinstance(began, Began)
    assert isinstance(ended, Ended)
    assert ended.reason == reason
    assert (tmp_path / "c1-1.log").exists()


def test_a_cell_that_takes_too_long_is_asked_to_end(tmp_path: Path) -> None:
    *_, ended = events_of("exec sleep 60", tmp_path, limit_s=0.3)
    assert isinstance(ended, Ended)
    assert ended.reason == "it was ended after 0.3 s; give it a higher --limit"
    assert ended.seconds < 8.0


def test_a_cell_is_ended_in_order_when_what_started_it_is_killed(tmp_path: Path) -> None:
    script = "trap 'echo ended > $0; exit' TERM; echo $$ > $0.pid; while true; do sleep 0.05; done"
    parent = (
        "import sys, time; from pathlib import Path; from workloads.sweep.cell_process import CellProcess\n"
        "CellProcess(sys.argv[1:], Path(sys.argv[-1]), 60); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, "/bin/sh", "-c", script, str(tmp_path / "c1")], cwd=PROJECT
    )
    until((tmp_path / "c1.pid").exists)
    process.kill()
    process.wait()
    until((tmp_path / "c1").exists)


def test_a_runs_environment_has_nothing_of_the_sweeps_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    process = CellProcess(("/usr/bin/env",), tmp_path / "c1", 30.0)
    until(process.poll)
    names = {line.partition("=")[0] for line in (tmp_path / "c1.log").read_text().splitlines()}
    assert "PATH" in names
    assert not [name for name in names if name.startswith("RAY_")]


def test_a_cell_that_does_not_end_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workloads.sweep.cell_process._END_S", 0.3)
    script = "trap '' TERM; echo $$; while true; do sleep 0.05; done"
    process = CellProcess(("/bin/sh", "-c", script), tmp_path / "c1", 60.0)
    until(lambda: (tmp_path / "c1.log").read_text().endswith("\n"))
    pid = int((tmp_path / "c1.log").read_text())
    process.end()
    until(lambda: not Path(f"/proc/{pid}").exists())


def test_closing_the_runner_ends_the_cell_in_order(tmp_path: Path) -> None:
    script = "trap 'echo ended; exit' TERM; echo began; while true; do sleep 0.05; done"
    runner = LocalRunner(tmp_path, 60.0, lambda _run_dir, _words: ("/bin/sh", "-c", script))
    runner.start(Job("c1", "c1-1", ()))
    until(lambda: (tmp_path / "c1-1.log").read_text() == "began\n")
    runner.close()
    assert (tmp_path / "c1-1.log").read_text() == "began\nended\n"


def test_a_run_is_the_projects_own_run_by_its_own_python(tmp_path: Path) -> None:
    place = ["--results=/r/cells", "--run-id=c1-1", "--seed=1"]
    run_dir = Path("/r/cells/c1-1")
    plain = command_of(tmp_path, run_dir, ("--seed=1",))
    assert plain == [sys.executable, str(tmp_path / "run.py"), *place]
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("")
    assert command_of(tmp_path, run_dir, ("--seed=1",))[0] == str(tmp_path / ".venv" / "bin" / "python")


def until(condition: object, patience_s: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_as_many_cells_as_there_are_places_run_at_once(tmp_path: Path) -> None:
    """Each waits for the other's file."""
    script = "touch $0.here; until [ -e %s ]; do sleep 0.05; done; mkdir $0"
    others = {tmp_path / "a": tmp_path / "b.here", tmp_path / "b": tmp_path / "a.here"}
    runner = LocalRunner(
        tmp_path, 30.0, lambda run_dir, _: ("/bin/sh", "-c", script % others[run_dir], str(run_dir)), places=2
    )
    assert runner.places == 2
    for name in ("a", "b"):
        runner.start(Job(name, name, ()))
    ended: dict[str, str] = {}
    while len(ended) < 2:
        ended |= {each.cell: each.reason for each in runner.events() if isinstance(each, Ended)}
    runner.close()
    assert ended == {"a": "", "b": ""}


def test_every_cell_that_runs_is_ended_when_the_runner_is_closed(tmp_path: Path) -> None:
    script = "trap 'touch $0.ended; exit' TERM; touch $0.here; while true; do sleep 0.05; done"
    runner = LocalRunner(
        tmp_path, 30.0, lambda run_dir, _: ("/bin/sh", "-c", script, str(run_dir)), places=2
    )
    for name in ("a", "b"):
        runner.start(Job(name, name, ()))
    while not all((tmp_path / f"{name}.here").exists() for name in ("a", "b")):
        time.sleep(0.05)
    runner.close()
    assert all((tmp_path / f"{name}.ended").exists() for name in ("a", "b"))
