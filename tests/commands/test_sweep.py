"""The command sweep as far as it goes without a network: dry runs, refusals, what a terminal shows."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from commands import sweep
from commands.sweep_file import load
from commands.sweep_progress import SweepProgress
from commands.usage import UsageError
from tests.workloads.sweep.fake_runner import FakeRunner
from tests.workloads.sweep.test_ledger import ENTRY
from tests.workloads.sweep.test_sweep import CELLS
from topologies.mininet.fabric import FabricError
from workloads.sweep.cell import Cell
from workloads.sweep.ledger import Entry, Ledger
from workloads.sweep.sweep import Sweep

FILE = "base: {topology: pair, repeat: 1}\ngrid: {path: [devmem, kernel], seed: [1, 2]}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(FILE)
    return tmp_path / "s.yaml"


def ask(file: Path, **options: Any) -> int:
    return sweep.command(file, results=file.parent / "results", **options)


def complete(directory: Path, cell: Cell, seconds: float) -> Entry:
    """Write it into the ledger."""
    entry = msgspec.structs.replace(ENTRY, cell=cell.id, run=f"{cell.id}-1", seconds=seconds)
    with Ledger(directory) as ledger:
        (ledger.cells / entry.run).mkdir()
        ledger.append(entry)
    return entry


def test_a_dry_run_lists_cells_and_leaves_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(file, dry_run=True) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["#", "cell", "time", "options"]
    cells = load(file).cells
    assert [row.split()[1] for row in rows] == [cell.id for cell in cells]
    assert [re.split(" s  ", row)[1] for row in rows] == [cell.label for cell in cells]
    assert re.match(r"# 4 of 4 cells to run on one machine: \d+ s \(guessed; ", last)
    assert not (file.parent / "results").exists()


def test_a_dry_run_knows_what_slow_links_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """64 MiB each way over 10 Mbit/s are 56 s: two places of a warm-up and three iterations, five times."""
    file = tmp_path / "slow.yaml"
    base = "base: {topology: pair, workload: all_reduce, size: 64M, path: devmem}"
    file.write_text(f'{base}\ngrid: {{link: [10Mbit, 10Gbit, ~]}}\n')
    assert ask(file, dry_run=True) == 0
    _, *rows, _ = capsys.readouterr().out.splitlines()
    (slow,) = [row for row in rows if "10Mbit" in row]
    assert slow.split()[2:4] == ["38", "min"]
    others = [row.split()[2:4] for row in rows if row is not slow]
    assert len(others) == 2
    assert others[0] == others[1], "what the CPU needs is more than what these take"
    assert others[0][1] == "s"


def test_a_dry_run_counts_with_the_cells_that_have_ended(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load(file).cells[0]
    complete(file.parent / "results" / "s", first, 500.0)
    with Ledger(file.parent / "results" / "s"):  # while the sweep runs, too
        ask(file, dry_run=True)
    _, *rows, last = capsys.readouterr().out.splitlines()
    assert [row.split()[2] for row in rows] == ["complete", "8", "8", "8"]
    assert last == "# 3 of 4 cells to run on one machine: 25 min (by the cells that have ended)"


def test_a_directory_that_exists_needs_resume(file: Path) -> None:
    (file.parent / "results" / "s").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"results/s exists already; go on there with --resume, or choose"):
        ask(file)


def test_resume_refuses_the_directory_of_another_sweep_and_of_none(file: Path) -> None:
    other = file.parent / "other.yaml"
    other.write_text(FILE.replace("pair", "star"))
    complete(file.parent / "results" / "s", load(other).cells[0], 1.0)
    sentence = r"results/s is of another sweep: none of the 1 cells .* among these 4; choose another --run-id"
    with pytest.raises(UsageError, match=sentence):
        ask(file, resume=True)
    (file.parent / "results" / "run").mkdir()
    (file.parent / "results" / "run" / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match=r"results/run is no sweep's directory: --resume needs one; choose"):
        ask(file, resume=True, run_id="run")
    assert [path.name for path in (file.parent / "results" / "run").iterdir()] == ["manifest.json"]


def test_resume_goes_on_where_one_cell_is_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = file.parent / "results" / "s"
    complete(directory, load(file).cells[0], 1.0)
    file.write_text(FILE.replace("[1, 2]", "[1, 2, 3]"))
    monkeypatch.setattr(sweep, "_sweep", lambda *_: 0)
    assert ask(file, resume=True) == 0


def test_options_that_cannot_be_are_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--project is for machines of a Ray cluster"):
        ask(file, project="/x")
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read \(No such file or directory\)"):
        ask(file.parent / "none.yaml")
    with pytest.raises(UsageError, match="run id 'a/b' cannot name a directory"):
        ask(file, run_id="a/b")
    file.write_text("grid:\n  seeds: 1\n  hosts: x\n")
    assert ask(file) == 2
    err = capsys.readouterr().err.splitlines()
    assert [line.rpartition("s.yaml:")[2][:2] for line in err] == ["2:", "3:"]
    assert not (file.parent / "results").exists()


def test_this_machines_room_is_asked_only_if_cells_run_here(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise UsageError("there is no room")

    monkeypatch.setattr(sweep, "check_room", none)
    assert ask(file, dry_run=True) == 2
    assert "there is no room (and 3 more cells)" in capsys.readouterr().err
    assert ask(file, dry_run=True, ray_address="auto") == 0


def test_without_root_and_user_namespaces_no_cell_is_begun(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sweep, "obstacle", lambda: "they are off")
    with pytest.raises(FabricError, match="needs a user namespace, but they are off, or run it by sudo"):
        ask(file)
    assert not (file.parent / "results").exists()


def test_the_table_at_the_end_has_every_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in CELLS[:2]:
        complete(tmp_path, cell, 3.25)
    with Ledger(tmp_path) as ledger:
        assert sweep.report(CELLS[:2], ledger) == 0
        failed = msgspec.structs.replace(ENTRY, cell=CELLS[1].id, status="failed", reason="rank 1 died")
        ledger.append(failed)
        capsys.readouterr()
        assert sweep.report(CELLS[:2], ledger) == 1
    head, first, second, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["status", "s", "machine", "run", "options"]
    assert first.split() == ["complete", "3.2", "m", f"{CELLS[0].id}-1", *CELLS[0].label.split()]
    assert second.endswith(f"c1-1          {CELLS[1].label}  rank 1 died")
    assert last == f"# 1 cells complete, 1 failed; {tmp_path}/summary.csv"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(terminal: bool, tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    runner = FakeRunner(tmp_path / "cells", places=2)
    progress = SweepProgress(3, runner, lambda: {cell.id: 50.0 for cell in CELLS}, console)
    lines: list[str] = []

    def show(running: Sequence[Cell], waiting: Sequence[Cell]) -> None:
        progress.show(running, waiting)
        lines.append(progress.line(running, waiting))

    with Ledger(tmp_path) as ledger, progress:
        Sweep(CELLS[:3], ledger, lambda: None, show).run(runner)
    assert lines[0] == f"{CELLS[0].label} and 1 more, about 75 s left"
    assert lines[-2] == f"{CELLS[2].label}, about 25 s left"
    assert bool(screen.getvalue()) is terminal
    assert ("3/3" in screen.getvalue()) is terminal
