"""How long a user waits: for help, for an endpoint, for a network of four hosts, for a large run to be read.

In: a Bench. Out: its figures of parts startup and analysis. Owns what it starts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psutil

from analysis.load import load
from tests.analysis.synthetic import MIB, Made
from tests.bench.figure import at_most
from tests.bench.network import PROJECT, Network
from tests.bench.rounds import Bench, Round

ROWS = 1_000_000


def help_s() -> float:
    """Of `run.py --help`, in a process of its own."""
    begin = time.perf_counter()
    command = [sys.executable, str(PROJECT / "run.py"), "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


class LargeRun:
    """A run of ROWS samples, written once."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-analysis-")
        # 5 repetitions of 4 sizes on 2 paths by 4 ranks, and a warm-up iteration each.
        iterations = ROWS // (5 * 4 * 2 * 4) - 1
        sizes = tuple(MIB << step for step in range(4))
        made = Made(sizes=sizes, paths=("devmem", "bounce"), repetitions=5, iterations=iterations)
        self._run = made.write(Path(self._directory.name) / "run")

    def load_s(self) -> float:
        """To read and check it."""
        begin = time.perf_counter()
        run = load(self._run)
        took_s = time.perf_counter() - begin
        assert len(run.samples) == ROWS
        return took_s

    def close(self) -> None:
        self._directory.cleanup()


def analysis(bench: Bench) -> None:
    with closing(LargeRun()) as large:
        rounds = bench.measure("analysis", lambda: {"load_s": large.load_s()})
    bench.add("a million samples read", [r["load_s"] for r in rounds], "s", at_most(3, "value"))


def endpoint_s() -> dict[str, float]:
    """Of one endpoint, until its channel answers: seconds, and those of CPU time."""
    with ExitStack() as stack:
        network = Network(stack)
        name = network.topology.hosts[0].name
        begin = time.perf_counter()
        stack.enter_context(network.endpoints(names=(name,)))
        took_s = time.perf_counter() - begin
        return {
            "endpoint_s": took_s,
            "endpoint_cpu_s": sum(psutil.Process(network.pids[name]).cpu_times()[:2]),
        }


def four_hosts_s() -> float:
    """Of a network of four hosts, until every endpoint's channel answers."""
    with ExitStack() as stack:
        begin = time.perf_counter()
        network = Network(stack, shape="star", hosts=4)
        stack.enter_context(network.endpoints())
        return time.perf_counter() - begin


def startup(bench: Bench) -> None:
    def one_round() -> Round:
        return {"help_s": help_s(), **endpoint_s(), "four_hosts_s": four_hosts_s()}

    rounds = bench.measure("start-up", one_round)
    for name, key, limit in (
        ("run.py --help", "help_s", 0.5),
        ("an endpoint is ready", "endpoint_s", 0.3),
        ("four hosts are ready", "four_hosts_s", 3),
    ):
        bench.add(name, [r[key] for r in rounds], "s", at_most(limit, "value"))
    bench.add("CPU time of an endpoint's start", [r["endpoint_cpu_s"] for r in rounds], "s")
