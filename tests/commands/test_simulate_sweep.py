"""A sweep whose cells are simulated: one on each CPU at once, and without what a network of Linux needs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

import commands.sweep
from tests.commands.test_simulate import ROOT
from workloads.sweep.ledger import Ledger

SWEEP = """
base: {iters: 1, clock: simulated, payload: counted,
  topology: pair, link: "200Gbit,5us", size: 64K, repeat: 1}
grid: {machine: [infinite, a3-high]}
"""


def test_a_sweep_of_simulated_cells_completes(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SWEEP)
    argv = [sys.executable, "run.py", "sweep", str(file), "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "small" / "summary.csv", newline="") as rows:
        found = [*csv.DictReader(rows)]
    assert {row["verdict"] for row in found} == {"simulated"}
    assert len(found) == 8  # two machines, devmem and bounce, out of place and in place


@pytest.mark.parametrize(("clocks", "at_once"), [({"simulated"}, True), ({"simulated", "machine"}, False)])
def test_cells_run_at_once_where_none_measures_this_machine(
    tmp_path: Path, clocks: set[str], at_once: bool
) -> None:
    machines = commands.sweep._Machines(None, None, 60.0, 60.0)
    with Ledger(tmp_path / "sweep") as ledger:
        runner = machines.runner(ledger, lambda: None, clocks == {"simulated"})
        assert runner.places == (len(os.sched_getaffinity(0)) if at_once else 1)
        runner.close()
