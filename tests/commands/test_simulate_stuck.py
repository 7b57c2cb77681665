"""A simulated rank that waits by this machine ends the run, which says who it was and where."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import commands.simulate
from commands import run
from nodes.simulation.failures import DeadlockError, SpinError, StuckError
from nodes.simulation.watchdog import Watchdog
from tests.commands.simulated_run import simulated_run
from tests.commands.test_simulate import run_py
from workloads.experiment.records import RankFailure

HANG = """
import time


def hang(rank):
    rank.barrier()
    if rank.rank == 1:
        time.sleep(3600)
    rank.barrier()
"""


def asked(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "mine.py").write_text(HANG)
    words = "--topology", "pair", "--workload", f"{tmp_path}/mine.py:hang", "--size", "64K"
    return *words, "--path", "devmem", "--repeat", "1"


def test_a_users_function_that_sleeps_for_real_is_named_with_rank_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands.simulate, "Watchdog", partial(Watchdog, waiting=5, look_s=0.05))
    with pytest.raises(RankFailure) as found:
        simulated_run(tmp_path / "run", *asked(tmp_path))
    said = str(found.value)
    assert said.startswith("rank 1 on host h2, path devmem, failed while running iteration 0 (barrier")
    assert f"mine.py:hang of rank 1 does not go on, at {tmp_path}/mine.py, line 8: simulated time" in said


@pytest.mark.soak
def test_the_run_itself_ends_with_that_sentence_and_a_status(tmp_path: Path) -> None:
    done = run_py(tmp_path / "results", "--clock", "simulated", *asked(tmp_path))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert "mine.py, line 8: simulated time stands still" in done.stderr


def test_whatever_keeps_simulated_time_from_going_on_is_told_as_a_sentence() -> None:
    assert all(issubclass(each, run.FAILURES) for each in (DeadlockError, SpinError, StuckError))
