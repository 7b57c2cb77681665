"""What a row says of its ranks and hosts, with known answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.link_usage import LinkUsage
from analysis.load import load
from analysis.rank_columns import ENDPOINTS, NOT_RECORDED, SYSTEM_TIME
from analysis.summary import SummaryRow, summarise
from tests.analysis.synthetic import MIB, Cell, Made

MADE = Made(sizes=(MIB,), paths=("devmem", "kernel"), repetitions=2, iterations=5)
Row = dict[str, Cell]


def summary(directory: Path, change: Callable[[Row], Row], made: Made = MADE) -> dict[str, SummaryRow]:
    """By path; `change` gives what is other than usual in a row."""
    rows = [row | change(row) for row in made.rows()]
    return {row.path: row for row in summarise(load(made.write(directory / "r", rows)))}


def number(row: Row, name: str) -> int:
    value = row[name]
    assert isinstance(value, int)
    return value


def test_percentiles_are_of_every_rank_and_a_spread_is_of_an_iteration(tmp_path: Path) -> None:
    """Iteration k takes k + 1 ms on rank 0, and r + 1 times that on rank r."""
    found = summary(
        tmp_path, lambda row: {"time_s": 1e-3 * (1 + number(row, "rank")) * (1 + number(row, "iteration"))}
    )["devmem"]
    # Iteration 0 is warm-up. Of the 20 others in a repetition the tenth takes 8 ms, the next one 9.
    assert found.rank_time_p50_us == pytest.approx(8500)
    assert found.rank_time_p99_us == pytest.approx(24_000, rel=0.02)
    assert found.straggler_spread_p50_us == pytest.approx(3 * 4000)
    assert found.straggler_spread_p95_us == pytest.approx(3 * 6000)


def test_one_receiver_has_no_spread_and_two_have(tmp_path: Path) -> None:
    times = {"bidir": [0.002, 0.003], "alone": [0.002, 0.003]}
    spreads = {}
    for name, of_rank in times.items():
        made = Made(workload="stream", sizes=(MIB,), paths=("devmem",), bidir=name == "bidir")

        def change(row: Row, of_rank: list[float] = of_rank) -> Row:
            return {"time_s": of_rank[number(row, "rank")]}

        found = summary(tmp_path / name, change, made)
        spreads[name] = found["devmem"].straggler_spread_p50_us
        assert found["devmem"].rank_time_p50_us == pytest.approx(2500 if name == "bidir" else 3000)
    assert spreads["alone"] is None
    assert spreads["bidir"] == pytest.approx(1000)


def test_tokens_pools_and_drops_are_put_together(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        first = row["rank"] == 0
        peak = 0.5 if row["repetition"] == 1 else 0.25
        return {
            "token_return_p50_us": 10.0 if first else 20.0, "token_return_p95_us": 30.0,
            "token_return_p99_us": 40.0, "token_return_max_us": 90.0 if first else 50.0,
            "rx_pool_peak_share": peak if first else None, "rx_hw_drops": 2, "rx_hw_drop_overruns": 1,
        }  # fmt: skip

    found = summary(tmp_path, change)["devmem"]
    assert found.token_return_p50_us == pytest.approx((10 + 3 * 20) / 4)
    assert found.token_return_p99_us == pytest.approx(40)
    assert found.token_return_max_us == 90
    assert found.rx_pool_peak_share == 0.5
    assert (found.rx_hw_drops, found.rx_hw_drop_overruns) == (2 * 40, 40)


def test_overlap_is_a_mean_over_the_ranks_that_compute(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        computes = row["rank"] in (1, 2)
        return {
            "time_s": 0.010, "compute_s": 0.006 if computes else None,
            "overlapped_s": 1e-3 * number(row, "rank") if computes else None,
        }  # fmt: skip

    found = summary(tmp_path, change)["devmem"]
    assert found.overlapped_us == pytest.approx(1500)
    assert found.exposed_us == pytest.approx(4000)


def test_setup_and_stall_share_are_of_the_ranks_that_are_fed(tmp_path: Path) -> None:
    """Ranks 1 and 2 train for 8 ms behind 2 ms of set-up, and wait for 1 and 2 ms of them."""

    def change(row: Row) -> Row:
        rank = number(row, "rank")
        fed = rank in (1, 2)
        return {
            "time_s": 0.010 if fed else 0.050, "setup_s": 0.002 if fed else None,
            "stalled_s": 1e-3 * rank if fed else None,
        }  # fmt: skip

    found = summary(tmp_path, change)["devmem"]
    assert found.setup_us == pytest.approx(2000)
    assert found.stall_share == pytest.approx(3 / 16)


def test_a_training_loop_of_no_time_has_no_stall_share(tmp_path: Path) -> None:
    found = summary(tmp_path, lambda _: {"time_s": 0.002, "setup_s": 0.002, "stalled_s": 0.0})["devmem"]
    assert found.setup_us == pytest.approx(2000)
    assert found.stall_share is None


def test_network_and_application_are_told_apart_on_every_path(tmp_path: Path) -> None:
    def change(row: Row) -> Row:
        return {
            "app_cpu_s": 0.010, "app_system_cpu_s": 0.004, "machine_softirq_s": 0.001 * number(row, "rank"),
            "endpoint_cpu_s": 0.0 if row["path"] == "kernel" else 0.030,
        }  # fmt: skip

    found = summary(tmp_path, change)
    payload_GB = 4 * 2 * 1.5 * MIB / 1e9  # of an iteration: four ranks, sent and received
    devmem, kernel = found["devmem"], found["kernel"]
    assert devmem.application_cpu_s_per_GB == pytest.approx(0.040 / payload_GB)
    assert devmem.network_cpu_s_per_GB == pytest.approx(0.120 / payload_GB)
    assert kernel.application_cpu_s_per_GB == kernel.app_user_cpu_s_per_GB
    assert kernel.app_user_cpu_s_per_GB == pytest.approx(0.024 / payload_GB)
    assert kernel.network_cpu_s_per_GB == kernel.app_system_cpu_s_per_GB
    assert kernel.network_cpu_s_per_GB == pytest.approx(0.016 / payload_GB)
    assert kernel.softirq_cpu_s_per_GB == pytest.approx(0.003 / payload_GB), "the machine's, once"
    assert (devmem.network_cpu_of, kernel.network_cpu_of) == (ENDPOINTS, SYSTEM_TIME)


def test_what_was_not_recorded_is_unknown_and_the_row_says_why(tmp_path: Path) -> None:
    found = summary(tmp_path, lambda _: {"endpoint_cpu_s": None})
    for row in found.values():
        assert row.network_cpu_s_per_GB is row.token_return_p50_us is row.rx_pool_peak_share is None
        assert row.rx_hw_drops is row.softirq_cpu_s_per_GB is row.overlapped_us is None
        assert row.setup_us is row.stall_share is None
        assert row.network_cpu_of == NOT_RECORDED


def test_drops_of_links_are_those_of_the_rows_trials(tmp_path: Path) -> None:
    directory = MADE.write(tmp_path / "r")
    row = "h1-eth0,h2-eth0,0.01,4,1000,1,1000000000,1500"
    lines = [
        ",".join(LinkUsage.__struct_fields__),
        *(f"devmem,{MIB},{repetition},{row},{3 + repetition}" for repetition in range(2)),
        f"devmem,{MIB},7,{row},100", f"devmem,8,0,{row},100",
        f"kernel,{MIB},0,{row},", f"kernel,{MIB},1,{row},1",
    ]  # fmt: skip
    (directory / "link_usage.csv").write_text("\n".join(lines) + "\n")
    found = {row.path: row.link_drops for row in summarise(load(directory))}
    assert found == {"devmem": 7, "kernel": None}, "a trial that did not record it makes the sum unknown"
