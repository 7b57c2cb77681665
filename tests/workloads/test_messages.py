"""Collectives' messages go together, and take what closed forms say."""

from __future__ import annotations

import math

import pytest

from workloads.bus_bandwidth import busbw_factor
from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS
from workloads.schedules.algorithms import ALGORITHMS
from workloads.trace.dry_run import Model, dry_run

SIZE = 48 << 10
EVERY = [(name, each) for name, algorithms in ALGORITHMS.items() for each in algorithms]


def times(name: str, nranks: int, algorithm: str = "", model: Model = Model(1e-4, 1e-8)) -> list[float]:  # noqa: B008
    own = CollectiveOptions(algorithm=algorithm)
    config = ExperimentConfig("star", nranks, name, (SIZE,), ("devmem",), own)
    traces = WORKLOADS[name].traces
    assert traces is not None
    return [each.time_s for each in dry_run(traces(config, SIZE), model)]


@pytest.mark.parametrize(("name", "algorithm"), EVERY)
@pytest.mark.parametrize("nranks", [2, 3, 4, 7])
def test_every_collectives_messages_go_together(name: str, algorithm: str, nranks: int) -> None:
    assert max(times(name, nranks, algorithm)) > 0


@pytest.mark.parametrize("name", ["all_reduce", "reduce_scatter", "all_gather"])
@pytest.mark.parametrize("nranks", [2, 4])
def test_a_ring_takes_its_steps_latencies_and_its_share_of_the_bytes(name: str, nranks: int) -> None:
    steps = (2 if name == "all_reduce" else 1) * (nranks - 1)
    expected = steps * 1e-4 + busbw_factor(name, nranks) * SIZE * 1e-8
    assert times(name, nranks) == pytest.approx([expected] * nranks)


def test_a_barrier_takes_a_latency_a_round() -> None:
    assert max(times("barrier", 7, model=Model(1e-4, 0.0))) == pytest.approx(math.ceil(math.log2(7)) * 1e-4)


def test_what_all_send_to_one_rank_takes_turns_on_its_line() -> None:
    assert max(times("gather", 4)) == pytest.approx(1e-4 + 0.75 * SIZE * 1e-8)
