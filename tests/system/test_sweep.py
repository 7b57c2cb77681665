"""Sweeps as docs/sweeps.md shows them: real runs on this machine; a Ray cluster that loses a node."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, block, command
from tests.system.reader import project, running, typed
from tests.system.test_run import no_directories_left
from topologies.mininet.enclosure import enclosed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
__all__ = ["no_directories_left"]  # a fixture

FILE = block("docs/sweeps.md", "# small.yaml")
COMMANDS = block("docs/sweeps.md", "python3 run.py sweep")
ON_RAY = command("docs/sweeps.md", "python3 run.py sweep small.yaml --ray-address auto")


def entries(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]


def test_a_sweep_is_interrupted_in_order_and_goes_on(tmp_path: Path) -> None:
    dry, first, again = COMMANDS.splitlines()
    place = project(tmp_path)
    (place / "small.yaml").write_text(FILE)
    listed = typed(dry, place)
    directory = place / "results" / "small"
    assert not directory.exists()
    with running(f"exec {first}", place) as sweep:
        while not list(directory.glob("cells/*/h1.log")):
            assert sweep.poll() is None, sweep.communicate()
        sweep.send_signal(signal.SIGINT)
        _, said = sweep.communicate(timeout=60)
        assert sweep.returncode == 130, said
        assert "run.py: SIGINT: 0 of 2 cells are complete; the same command with --resume goes on" in said
    (cut,) = directory.glob("cells/*/manifest.json")
    assert json.loads(cut.read_text())["status"] == "interrupted"
    assert entries(directory) == []
    table = typed(again, place)
    found = entries(directory)
    assert [each["cell"] for each in found] == [line.split()[1] for line in listed.splitlines()[1:3]]
    assert [each["run"][-2:] for each in found] == ["-2", "-1"]
    assert table.splitlines()[-1] == "# 2 cells complete, 0 failed; results/small/summary.csv"
    with open(directory / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["grid_path"], row["path"]) for row in rows} == {("devmem", "devmem"), ("kernel", "kernel")}
    for each in found:
        manifest = json.loads((directory / "cells" / each["run"] / "manifest.json").read_text())
        assert manifest["environment"]["hostname"] == each["machine"] == os.uname().nodename
        assert manifest["status"] == "complete"


RUN = """
import json, os, sys, time
from pathlib import Path
options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
run = Path(options["results"]) / options["run-id"]
run.mkdir()
time.sleep(float(options["duration"]))
(run / "figures").mkdir()
(run / "figures" / "a.png").write_bytes(os.urandom(9 << 20 if options["seed"] == "1" else 9))
if options["seed"] == "3":
    sys.exit("run.py: three is refused")
(run / "summary.csv").write_text("busbw\\n" + options["seed"] + "\\n")
print("# Report:", run)
"""
GRID = """
base: {workload: stream, topology: pair, duration: 1}
grid: {seed: [1, 2, 3, 4, 5, 6, 7]}
"""


def swept_on_ray(tmp_path: Path, ledger: str, *more: str) -> int:
    """The exit status of a sweep of `grid.yaml` on three nodes; `out` and `err` are what it said."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as short:
        _, *words = ON_RAY.replace("small.yaml", str(tmp_path / "grid.yaml")).split()
        words += ["--results", str(tmp_path), *more]
        argv = [*enclosed(Path(short)), sys.executable, "-m", "tests.system.ray_sweep", short, ledger, *words]
        with open(tmp_path / "out", "w") as out, open(tmp_path / "err", "w") as err:
            cluster = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=out, stderr=err)
        with cluster:
            return cluster.wait(200)


SIMULATED = """
base: {clock: simulated, payload: counted, topology: pair, link: "200Gbit,5us", size: 64K,
  repeat: 1, iters: 1}
grid: {machine: [infinite, a3-high], seed: [1, 2]}
"""
SIMULATED_CELL = (
    "--clock", "simulated", "--payload", "counted", "--topology", "pair", "--link", "200Gbit,5us", "--size",
    "64K", "--repeat", "1", "--iters", "1", "--machine", "a3-high", "--seed", "2",
)  # fmt: skip


def test_simulated_cells_run_on_all_nodes_of_a_cluster_at_once(tmp_path: Path) -> None:
    """A process each; a cell of the same options is the same there as here."""
    (tmp_path / "grid.yaml").write_text(SIMULATED)
    assert swept_on_ray(tmp_path, "") == 0, (tmp_path / "err").read_text()
    found = entries(tmp_path / "grid")
    assert [each["status"] for each in found] == ["complete"] * 4
    assert len({each["node"] for each in found}) == 3, "three at once, then the fourth"
    with open(tmp_path / "grid" / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["verdict"] for row in rows} == {"simulated"}
    assert {(row["grid_machine"], row["grid_seed"]) for row in rows} == {
        (machine, seed) for machine in ("infinite", "a3-high") for seed in "12"
    }
    (there,) = (each for each in found if {"--machine=a3-high", "--seed=2"} <= {*each["options"]})
    argv = [sys.executable, "run.py", *SIMULATED_CELL, "--run-id", "here", "--results", str(tmp_path)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=100)
    runs = tmp_path / "grid" / "cells" / there["run"], tmp_path / "here"
    assert len({json.loads((run / "manifest.json").read_text())["journal"] for run in runs}) == 1


def test_a_sweep_on_a_cluster_outlives_one_of_its_nodes(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "run.py").write_text(RUN)
    ledger = str(tmp_path / "grid" / "ledger.jsonl")
    assert swept_on_ray(tmp_path, ledger, "--project", str(tmp_path)) == 1, (tmp_path / "err").read_text()
    found = {each["options"][-1]: each for each in entries(tmp_path / "grid")}
    assert sorted(found) == [f"--seed={number}" for number in range(1, 8)]
    failed = found.pop("--seed=3")
    assert (failed["status"], failed["reason"]) == ("failed", "three is refused")
    assert {each["status"] for each in found.values()} == {"complete"}
    everywhere = [*found.values(), failed]
    assert len({each["node"] for each in everywhere}) == 3
    assert sum(each["losses"] for each in everywhere) == 1, "the removed node's cell was not repeated"
    assert "# 6 cells complete, 1 failed; " in (tmp_path / "out").read_text()
    for each in everywhere:
        run = tmp_path / "grid" / "cells" / each["run"]
        assert (run / "figures" / "a.png").stat().st_size == (
            9 << 20 if each["options"][-1] == "--seed=1" else 9
        )
        assert ("# Report:" in run.with_name(f"{run.name}.log").read_text()) == (each is not failed)
    assert not list((tmp_path / "grid" / "cells").glob("*.zip"))
    with open(tmp_path / "grid" / "summary.csv", newline="") as file:
        assert {row["grid_seed"] for row in csv.DictReader(file)} == {*"124567"}
