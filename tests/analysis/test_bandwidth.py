"""nccl-tests' conventions, as exact numbers."""

from pathlib import Path

import numpy as np

from analysis.bandwidth import algbw, seconds_per_byte
from analysis.load import load
from tests.analysis.synthetic import MIB, Made


def test_algbw_is_decimal() -> None:
    assert algbw(2e9, 0.5) == 4.0


def test_an_iterations_time_is_the_mean_over_its_ranks(tmp_path: Path) -> None:
    made = Made(paths=("devmem",), sizes=(MIB,), repetitions=1, iterations=1)
    rows = made.rows()
    for row, seconds in zip(rows[-4:], (1.0, 2.0, 3.0, 6.0), strict=True):
        row["time_s"] = seconds
    run = load(made.write(tmp_path / "r", rows))
    found = seconds_per_byte(run.measured, run.manifest.measure)
    np.testing.assert_allclose(found[0], [3.0 / MIB])


def test_a_patterns_time_is_from_its_first_start_to_its_last_end(tmp_path: Path) -> None:
    made = Made(workload="incast", paths=("devmem",), sizes=(MIB,), repetitions=1, iterations=1)
    rows = made.rows()
    spans = (100.0, 107.0), (101.0, 102.0), (100.5, 101.0), (100.0, 100.1)
    for row, (start, end) in zip(rows[-4:], spans, strict=True):
        row |= {"start_s": start, "end_s": end, "time_s": end - start}
    run = load(made.write(tmp_path / "r", rows))
    found = seconds_per_byte(run.measured, run.manifest.measure)
    np.testing.assert_allclose(found[0], [7.0 / MIB])


def test_without_recorded_starts_it_is_that_of_the_last_rank(tmp_path: Path) -> None:
    made = Made(workload="incast", paths=("devmem",), sizes=(MIB,), repetitions=1, iterations=1)
    rows = made.rows()
    for row, seconds in zip(rows[-4:], (1.0, 2.0, 6.0, 3.0), strict=True):
        row |= {"start_s": "", "end_s": "", "time_s": seconds}
    run = load(made.write(tmp_path / "r", rows))
    found = seconds_per_byte(run.measured, run.manifest.measure)
    np.testing.assert_allclose(found[0], [6.0 / MIB])


def test_goodput_is_what_the_receiver_got_in_its_own_time(tmp_path: Path) -> None:
    made = Made(workload="stream", paths=("devmem",), sizes=(4000,), repetitions=1, iterations=1)
    rows = made.rows()
    rows[-2]["time_s"], rows[-1]["time_s"] = 1.0, 2.0
    rows[-1]["payload_received_bytes"] = 3000
    run = load(made.write(tmp_path / "r", rows))
    found = seconds_per_byte(run.measured, run.manifest.measure)
    np.testing.assert_allclose(found[0], [2.0 / 3000])
