"""Which cells a sweep runs, in which order, and what it writes down of each, whatever happens to it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.workloads.sweep.fake_runner import FakeRunner, well
from tests.workloads.sweep.test_grid import listed
from workloads.sweep import grid
from workloads.sweep.cell import Cell
from workloads.sweep.ledger import Ledger, last_entries
from workloads.sweep.runner import Ended, Job, Lost
from workloads.sweep.sweep import LOSSES_MAX, Sweep

CELLS = grid.shuffled(
    grid.cells(
        (), [listed("path", "devmem", "bounce"), listed("seed", *"1234"), listed("size", "1K", "2K", "4K")]
    ),
    seed=5,
)
IDS = [cell.id for cell in CELLS]


class Killed(BaseException):
    """In the place of a SIGKILL."""


def swept(directory: Path, runner: FakeRunner, cells: Sequence[Cell] = CELLS) -> list[str]:
    """The cells that were started, in their order."""
    with Ledger(directory) as ledger:
        Sweep(cells, ledger, lambda: None).run(runner)
    return [job.cell for job in runner.started]


def test_cells_run_in_their_order_each_with_its_options(tmp_path: Path) -> None:
    runner = FakeRunner(tmp_path / "cells")
    assert swept(tmp_path, runner) == IDS
    assert [job.words for job in runner.started] == [cell.words for cell in CELLS]
    entries = last_entries(tmp_path)
    assert {(each.status, each.seconds, each.machine, each.node) for each in entries.values()} == {
        ("complete", 2.0, "m1", "n1")
    }
    assert [entries[cell.id].options for cell in CELLS] == [cell.words for cell in CELLS]


def test_a_cell_that_fails_fails_alone_and_is_repeated_by_resume(tmp_path: Path) -> None:
    def third_fails(job: Job) -> Ended | Lost:
        return Ended(job.cell, 1.0, "rank 1 died") if job.cell == IDS[2] else well(job)

    assert swept(tmp_path, FakeRunner(tmp_path / "cells", third_fails)) == IDS
    entry = last_entries(tmp_path)[IDS[2]]
    assert (entry.status, entry.reason, entry.run) == ("failed", "rank 1 died", f"{IDS[2]}-1")
    assert swept(tmp_path, FakeRunner(tmp_path / "cells")) == [IDS[2]]
    entry = last_entries(tmp_path)[IDS[2]]
    assert (entry.status, entry.reason, entry.run) == ("complete", "", f"{IDS[2]}-2")


@pytest.mark.parametrize("seed", range(20))
def test_a_sweep_killed_at_random_points_and_resumed_gives_the_same_set(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    runs: list[str] = []
    kills = 0
    for _ in range(1000):
        kill_at = chance.randrange(1, 12)

        def watch(calls: list[int] = [], kill_at: int = kill_at) -> None:  # noqa: B006  counts its calls
            calls.append(0)
            if len(calls) == kill_at:
                raise Killed

        runner = FakeRunner(tmp_path / "cells", places=chance.randint(1, 3))
        ledger = Ledger(tmp_path)
        try:
            Sweep(CELLS, ledger, watch).run(runner)
            break
        except Killed:
            kills += 1
        finally:
            runs += [job.run for job in runner.started]
            ledger.close()
        path = tmp_path / "ledger.jsonl"
        line = b'{"cell":"0123456789","options":["--seed=1"],"status":"complete"'
        path.write_bytes(path.read_bytes() + line[: chance.randrange(len(line))])
    entries = last_entries(tmp_path)
    assert len(CELLS) == 24
    assert kills
    assert entries.keys() == set(IDS)
    assert {each.status for each in entries.values()} == {"complete"}
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == 24, "a finished cell was run again"
    assert {each.run for each in entries.values()} <= set(runs)
    assert len(set(runs)) == len(runs)


def test_a_process_that_is_killed_and_started_again_gives_the_same_set(tmp_path: Path) -> None:
    """By SIGKILL, three times, whatever it does then; with real processes as cells."""
    argv = [sys.executable, "-m", "tests.workloads.sweep.killed_sweep", str(tmp_path)]
    ledger = tmp_path / "ledger.jsonl"
    for ended in (2, 9, 17):
        with subprocess.Popen(argv, cwd=ROOT) as process:
            while not (ledger.exists() and ledger.read_bytes().count(b"\n") >= ended):
                assert process.poll() is None
                time.sleep(0.005)
            process.kill()
    subprocess.run(argv, cwd=ROOT, check=True, timeout=120)
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert sorted(each["cell"] for each in entries) == sorted(IDS), "each once"
    assert {each["status"] for each in entries} == {"complete"}
    for each in entries:
        words = (tmp_path / "cells" / each["run"] / "words").read_text().split()
        assert words == each["options"]


def test_a_cell_whose_machine_is_lost_is_run_again_a_bounded_number_of_times(tmp_path: Path) -> None:
    lost: list[str] = []

    def ending(job: Job) -> Ended | Lost:
        lost.append(job.cell)
        always, once = job.cell == IDS[0], job.cell == IDS[1] and lost.count(job.cell) == 1
        return Lost(job.cell, "its machine was lost") if always or once else well(job)

    started = swept(tmp_path, FakeRunner(tmp_path / "cells", ending, places=2))
    assert [started.count(cell) for cell in IDS] == [LOSSES_MAX + 1, 2] + [1] * 22
    entries = last_entries(tmp_path)
    assert (entries[IDS[0]].status, entries[IDS[0]].losses) == ("failed", LOSSES_MAX + 1)
    assert entries[IDS[0]].reason == "its machine was lost, as 2 machines before; see whether the cell is why"
    assert (entries[IDS[1]].status, entries[IDS[1]].losses) == ("complete", 1)


def test_what_runs_and_what_waits_is_shown_after_every_change(tmp_path: Path) -> None:
    shown: list[tuple[int, int]] = []
    with Ledger(tmp_path) as ledger:
        sweep = Sweep(CELLS[:3], ledger, lambda: None, lambda ran, wait: shown.append((len(ran), len(wait))))
        sweep.run(FakeRunner(tmp_path / "cells", places=2))
    assert shown == [(2, 1), (2, 1), (1, 1), (0, 1), (1, 0), (0, 0)]


def test_another_grid_in_the_same_directory_runs_what_is_new(tmp_path: Path) -> None:
    swept(tmp_path, FakeRunner(tmp_path / "cells"), CELLS[:10])
    assert swept(tmp_path, FakeRunner(tmp_path / "cells"), CELLS) == IDS[10:]
