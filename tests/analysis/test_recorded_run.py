"""A run that an earlier version recorded says today what it said then, and nothing of what it did not record.

`recorded/` has what such versions wrote, summary.csv among it, of runs of two hosts: `all_reduce` by schema 3
(`--topology pair --size 64K --repeat 2 --iters 1`), `schema2` by schema 2 (`--size 1K,64K --repeat 2`).
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from analysis.analyse import analyse
from analysis.load import load
from analysis.rank_columns import NOT_RECORDED
from analysis.samples import LATER_COLUMNS
from analysis.summary import csv_text, summarise

RECORDED = Path(__file__).with_name("recorded") / "all_reduce"
SCHEMA2 = RECORDED.with_name("schema2")
SAME = ("size_bytes", "path", "count_elements", "type", "redop", "root", "wrong_elements", "nranks")
LATER = (
    "overlapped_us", "token_return_p50_us", "token_return_max_us", "rx_pool_peak_share", "rx_hw_drops",
    "rx_hw_drop_overruns", "link_drops", "app_user_cpu_s_per_GB", "app_system_cpu_s_per_GB",
    "softirq_cpu_s_per_GB", "setup_us", "stall_share",
)  # fmt: skip


def test_the_recorded_run_lacks_columns_of_today_and_loads_unharmed() -> None:
    header = (RECORDED / "samples.csv").read_text().split("\n", 1)[0].split(",")
    assert {"token_return_p50_us", "overlapped_s", "rx_pool_peak_share"} <= {*LATER_COLUMNS} - {*header}
    run = load(RECORDED)
    assert run.damage == ()
    assert len(run.samples) == 3 * 2 * 2 * 2 * 2


def test_every_figure_of_then_is_the_same_now() -> None:
    then = list(csv.DictReader((RECORDED / "summary.csv").open()))
    now = list(csv.DictReader(csv_text(summarise(load(RECORDED))).splitlines()))
    assert len(then) == len(now) == 6
    for before, after in zip(then, now, strict=True):
        # How an interval is found may be improved; a median may not.
        for name in (name for name in before if "_ci_" not in name):
            if before[name].replace(".", "").isdigit():
                assert float(after[name]) == pytest.approx(float(before[name])), name
            else:
                assert after[name] == before[name], name


def test_what_it_did_not_record_is_unknown_and_what_its_rows_say_is_not() -> None:
    for row in summarise(load(RECORDED)):
        assert {getattr(row, name) for name in LATER} == {None}
        assert row.rank_time_p50_us is not None
        assert row.straggler_spread_p50_us is not None
        if row.path == "kernel":
            assert (row.network_cpu_s_per_GB, row.network_cpu_of) == (None, NOT_RECORDED)
        else:
            assert row.network_cpu_s_per_GB == row.endpoint_cpu_s_per_GB is not None


def test_it_is_drawn_again(tmp_path: Path) -> None:
    copy = shutil.copytree(RECORDED, tmp_path / "all_reduce")
    analysis = analyse(copy)
    assert analysis.unwritten == ()
    assert "THIS RUN IS" not in analysis.table_text
    assert (copy / "report.html").stat().st_size > 0


def test_a_run_of_schema_2_has_the_times_and_bandwidths_that_it_had() -> None:
    assert '"schema_version": 2' in (SCHEMA2 / "manifest.json").read_text()
    then = list(csv.DictReader((SCHEMA2 / "summary.csv").open()))
    run = load(SCHEMA2)
    assert run.damage == ()
    assert len(run.samples) == 3 * 2 * 2 * 2 * 4  # paths, sizes, ranks, repetitions, iterations
    now = list(csv.DictReader(csv_text(summarise(run)).splitlines()))
    assert len(then) == len(now) == 6
    for before, after in zip(then, now, strict=True):
        for name in (each for each in SAME if each in before):
            assert after[name] == before[name], name
        for name in ("time_us", "algbw_GB_per_s", "busbw_GB_per_s"):
            assert float(after[name]) == pytest.approx(float(before[name])), name
