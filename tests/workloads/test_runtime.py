"""Workloads take time and threads from a Runtime, so that a simulated one can stand in its place."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodes.client.runtime import MachineRuntime, MachineThread
from tests.workloads.loopback import LoopbackHost
from workloads.collective import CollectiveOptions
from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.rendezvous import rendezvous
from workloads.experiment.surroundings import THIS_MACHINE, Surroundings

WORKLOADS = Path(__file__).parents[2] / "workloads"
FORBIDDEN = {"time", "threading", "asyncio", "concurrent", "multiprocessing", "sched", "select"}
FASTER = 1000.0


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_nothing_that_ranks_do_asks_the_time_or_starts_a_thread() -> None:
    outside = ("experiment", "sweep")  # of these a simulation runs the rank alone
    sources = [path for path in WORKLOADS.rglob("*.py") if path.parent.name not in outside]
    sources.append(WORKLOADS / "experiment" / "rank.py")
    assert len(sources) > 15
    assert {path.name: found for path in sources if (found := FORBIDDEN & set(_imported(path)))} == {}


class FastRuntime(MachineRuntime):
    """The machine's threads under a clock that runs faster, and the names of the threads it was asked for."""

    def __init__(self) -> None:
        self.threads: list[str] = []

    def monotonic(self) -> float:
        return FASTER * super().monotonic()

    def spawn(self, function: Callable[[], None], name: str) -> MachineThread:
        self.threads.append(name)
        return super().spawn(function, name)


def _around(runtime: FastRuntime) -> Surroundings:
    return dataclasses.replace(THIS_MACHINE, runtime=runtime)


def test_a_ranks_times_and_threads_are_those_of_its_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    config = ExperimentConfig("star", 2, "all_reduce", (4096,), ("bounce",), CollectiveOptions(warmup=0))
    runtimes = [FastRuntime(), FastRuntime()]
    places = [RankPlace(n, f"h{n + 1}", "-") for n in range(2)]
    ranks = [Rank(place, config, _around(each)) for place, each in zip(places, runtimes, strict=True)]
    peers = rendezvous([rank.listen(Trial("bounce", 4096, 0)) for rank in ranks])

    def run(rank: Rank, number: int) -> list[Sample]:
        rank.connect(peers[number])
        return rank.run()

    with ThreadPoolExecutor(2) as pool:
        rows = [row for found in pool.map(run, ranks, range(2)) for row in found]
    for rank in ranks:
        rank.close()
    for row in rows:
        assert row.time_s > row.end_s - row.start_s, "of the faster clock"
    assert [runtime.threads for runtime in runtimes] == [["send-h1-1-0", "ledger"], ["send-h2-0-0", "ledger"]]
