"""nccl-tests' factors between algbw and busbw."""

from __future__ import annotations

import pytest

from workloads.bus_bandwidth import busbw_factor
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS


@pytest.mark.parametrize(
    ("collective", "nranks", "factor"),
    [
        ("all_reduce", 1, 0), ("all_reduce", 2, 1), ("all_reduce", 4, 1.5), ("all_reduce", 8, 1.75),
        ("reduce_scatter", 4, 0.75), ("all_gather", 4, 0.75), ("all_to_all", 8, 0.875),
        ("gather", 2, 0.5), ("scatter", 2, 0.5),
        ("broadcast", 8, 1), ("reduce", 8, 1), ("sendrecv", 8, 1),
        ("all_to_allv", 8, 0.875), ("barrier", 8, 0),
    ],
)  # fmt: skip
def test_bus_bandwidth_factors_are_those_of_nccl_tests(collective: str, nranks: int, factor: float) -> None:
    assert busbw_factor(collective, nranks) == factor


@pytest.mark.parametrize(
    ("workload", "nranks", "factor"),
    [
        ("all_reduce", 1, 0), ("all_reduce", 2, 1), ("all_reduce", 4, 1.5), ("all_reduce", 8, 1.75),
        ("stream", 2, 1),
    ],
)  # fmt: skip
def test_what_a_workload_measures_has_its_factor(workload: str, nranks: int, factor: float) -> None:
    kind = WORKLOADS[workload]
    measure = kind.measure(ExperimentConfig("star", nranks, workload, (4,), ("kernel",), kind.options()))
    assert (measure.bandwidth_factor, measure.ranks) == (factor, nranks)


def test_an_unknown_workload_has_no_factor() -> None:
    with pytest.raises(ValueError, match="'gossip' has no bus-bandwidth factor; known are all_gather"):
        busbw_factor("gossip", 4)


def test_no_ranks_run_nothing() -> None:
    with pytest.raises(ValueError, match="0 ranks cannot run all_reduce"):
        busbw_factor("all_reduce", 0)
