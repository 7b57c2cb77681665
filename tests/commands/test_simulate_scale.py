"""What a simulation costs, counted and not timed: it grows with the packets, and with nothing else."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import commands.simulate
from commands.simulate import rare_collections
from commands.simulated_network import SimulatedNetwork, build
from tests.commands.simulated_run import simulated_run
from tests.commands.test_simulate import ROOT


def per_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: int) -> dict[str, float]:
    """Of each frame that began on a line: actions of the clock, turns of hosts, events that the clock's heap
    kept at the end. Each rank sends pieces of 64 KiB."""
    built: list[SimulatedNetwork] = []

    def kept(*asked: Any) -> SimulatedNetwork:
        built.append(build(*asked))
        return built[0]

    with monkeypatch.context() as patch:
        patch.setattr(commands.simulate, "build", kept)
        simulated_run(
            tmp_path / str(hosts), "--topology", "star", "--hosts", str(hosts), "--link", "200Gbit,5us",
            "--machine", "a3-high", "--payload", "counted", "--path", "devmem", "--size", f"{64 * hosts}K",
            "--repeat", "1", "--iters", "2", "--warmup", "0", "--place", "out",
        )  # fmt: skip
    simulation = built[0].simulation
    counts = {
        "events": simulation.clock.events,
        "turns": sum(node.simulated.turns for node in simulation.nodes.values()),
        "kept": simulation.clock.kept,
    }
    return {name: count / simulation.journal.frames for name, count in counts.items()}


def test_events_and_turns_of_a_packet_do_not_grow_with_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = (per_frame(tmp_path, monkeypatch, hosts) for hosts in (4, 16))
    assert few["events"] < 6
    assert few["turns"] < 2
    for name in ("events", "turns"):
        assert many[name] < 1.05 * few[name]
    assert many["kept"] < 0.1


def test_the_memory_of_many_hosts_goes_into_huge_pages_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collapsed, many = list[int](), 0
    monkeypatch.setattr("nodes.simulation.huge_pages.collapse", lambda: collapsed.append(many))
    for many in (3, 2):
        monkeypatch.setattr("workloads.experiment.simulated_ranks._HOSTS_MANY", many)
        simulated_run(
            tmp_path / str(many), "--topology", "pair", "--payload", "counted", "--path", "devmem",
            "--size", "64K,128K", "--repeat", "2", "--iters", "1", "--warmup", "0", "--place", "out",
        )  # fmt: skip
    assert collapsed == [2]


def test_collections_are_rare_while_trials_run_and_as_before_behind_them() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="over"), rare_collections():
        assert gc.get_threshold() == (100 * before[0], *before[1:])
        assert gc.get_freeze_count() > 0
        raise ValueError("over")
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_an_interrupted_simulation_reports_the_trials_that_it_has_measured(tmp_path: Path) -> None:
    words = ("--clock", "simulated", "--topology", "star", "--hosts", "2", "--link", "1Gbit,5us")
    argv = [sys.executable, "run.py", "--results", str(tmp_path), "--run-id", "it", *words, "--size", "64K"]
    samples = tmp_path / "it" / "samples.csv"
    with subprocess.Popen(
        [*argv, "--repeat", "1000"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None and not (samples.exists() and samples.read_text().count("\n") > 1):
            pass  # rows are written as they come
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, "stopped by SIGINT" in err) == (130, True)
    assert "# THIS RUN IS INTERRUPTED: stopped by SIGINT" in out
    assert "simulated" in out
    manifest = json.loads((tmp_path / "it" / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert {"samples.csv", "summary.csv", "report.html"} <= set(manifest["files"])
