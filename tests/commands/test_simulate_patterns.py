"""Patterns of messages under a simulated clock: what their table says of the line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.commands.test_simulate import run_py

LINE_GB_PER_S = 10 / 8


@pytest.mark.parametrize("pattern", ["incast", "outcast"])
def test_the_bus_bandwidth_of_many_and_one_is_just_below_the_lines_rate(pattern: str, tmp_path: Path) -> None:
    words = ("--clock", "simulated", "--topology", "star", "--hosts", "4", "--link", "10Gbit,5us")
    asked = ("--workload", pattern, "--size", "1M", "--path", "devmem", "--repeat", "1", "--iters", "2")
    done = run_py(tmp_path, *words, *asked, "--payload", "counted")
    assert done.returncode == 0, done.stderr
    (summary,) = tmp_path.glob("*/summary.csv")
    (row,) = csv.DictReader(summary.open(newline=""))
    assert 0.9 * LINE_GB_PER_S < float(row["busbw_GB_per_s"]) < LINE_GB_PER_S
    assert float(row["time_us"]) >= float(row["predicted_us"])


def test_ranks_of_one_host_exchange_over_their_fabric_and_with_other_hosts(tmp_path: Path) -> None:
    words = ("--clock", "simulated", "--topology", "a3", "--ranks-per-host", "2", "--machine", "a3-high")
    asked = ("--link", "200Gbit,5us", "--size", "64K", "--path", "devmem,bounce", "--repeat", "1")
    done = run_py(tmp_path, *words, *asked, "--iters", "1", "--warmup", "1", "--place", "out")
    assert done.returncode == 0, done.stderr
    (samples,) = tmp_path.glob("*/samples.csv")
    rows = list(csv.DictReader(samples.open(newline="")))
    assert {row["host"] + row["rank"] for row in rows} == {"h10", "h11", "h22", "h23"}
    assert {row["wrong_elements"] for row in rows} == {"0"}
    # Six steps' quarters.
    assert {int(row["fabric_bytes"]) for row in rows if row["rank"] in "13"} == {6 * (64 << 10) // 4}
    assert not any(int(row["fabric_bytes"]) for row in rows if row["rank"] in "02")
