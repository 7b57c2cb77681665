"""nccl-tests' conventions, as exact numbers."""

from pathlib import Path

import numpy as np
import pytest

from analysis.bandwidth import algbw, busbw_factor, seconds_per_byte
from analysis.load import ResultsError, load
from tests.analysis.synthetic import MIB, Made


@pytest.mark.parametrize(
    ("workload", "nranks", "factor"),
    [
        ("all_reduce", 1, 0), ("all_reduce", 2, 1), ("all_reduce", 4, 1.5), ("all_reduce", 8, 1.75),
        ("reduce_scatter", 4, 0.75), ("all_gather", 4, 0.75), ("all_to_all", 8, 0.875),
        ("gather", 2, 0.5), ("scatter", 2, 0.5),
        ("broadcast", 8, 1), ("reduce", 8, 1), ("sendrecv", 8, 1), ("stream", 2, 1),
    ],
)  # fmt: skip
def test_bus_bandwidth_factors_are_those_of_nccl_tests(workload: str, nranks: int, factor: float) -> None:
    assert busbw_factor(workload, nranks) == factor


def test_an_unknown_workload_has_no_factor() -> None:
    with pytest.raises(ResultsError, match="'gossip' has no bus-bandwidth factor; known are all_gather"):
        busbw_factor("gossip", 4)


def test_no_ranks_run_nothing() -> None:
    with pytest.raises(ResultsError, match="0 ranks cannot run all_reduce"):
        busbw_factor("all_reduce", 0)


def test_algbw_is_decimal() -> None:
    assert algbw(2e9, 0.5) == 4.0


def test_an_iterations_time_is_the_mean_over_its_ranks(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(MIB,), repetitions=1, iterations=1)
    rows = made.rows()
    for row, seconds in zip(rows[-4:], (1.0, 2.0, 3.0, 6.0), strict=True):
        row["time_s"] = seconds
    found = seconds_per_byte(load(made.write(tmp_path / "r", rows)).measured)
    np.testing.assert_allclose(found[0], [3.0 / MIB])


def test_goodput_is_what_the_receiver_got_in_its_own_time(tmp_path: Path) -> None:
    made = Made(workload="stream", paths=("devmem",), sizes=(4000,), repetitions=1, iterations=1)
    rows = made.rows()
    rows[-2]["time_s"], rows[-1]["time_s"] = 1.0, 2.0
    rows[-1]["payload_received_bytes"] = 3000
    found = seconds_per_byte(load(made.write(tmp_path / "r", rows)).measured)
    np.testing.assert_allclose(found[0], [2.0 / 3000])
