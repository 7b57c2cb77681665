"""The figures of docs/simulation.md that come of a command, and the ring against its closed form."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.simulated_run import measured, simulated_run
from tests.docs.pages import ROOT, block, command

MANY = block("docs/simulation.md", "python3 run.py --clock simulated --payload counted --topology leaf_spine")
BOTH_WAYS = block("docs/simulation.md", "python3 run.py --clock simulated --payload counted --machine")
WALL = command("docs/simulation.md", "python3 run.py project --machine a3-high --figure wall.png")
LINE_BPS, DELAY_S = 200e9, 5e-6


def asked(shown: str) -> list[str]:
    """The options of a command of a page, as `simulated_run` takes them."""
    return [word for word in shlex.split(shown)[2:] if word not in ("--clock", "simulated")]


@pytest.mark.parametrize(("mtu", "segments"), [(1500, 45), (8244, 7)])
def test_a_ring_takes_what_loggp_says_where_nothing_is_lost(tmp_path: Path, mtu: int, segments: int) -> None:
    """Six steps, each of which takes a quarter of the array's time on a line, the delay of two lines, and one
    super-packet more, of so many segments: the switch has it whole before it sends it on. What the run itself
    predicts leaves the latter out. The windows are large from the start: of hosts without costs a round trip
    grows by what waits in switches alone, so that autotuning leaves windows that fill the line just not."""
    size = 16 << 20
    rows = simulated_run(
        tmp_path / "run", "--topology", "star", "--hosts", "4", "--link", "200Gbit,5us", "--mtu", str(mtu),
        "--path", "devmem", "--size", str(size), "--place", "out", "--iters", "1", "--warmup", "1",
        "--repeat", "1", "--payload", "counted", "--tcp-rmem", "4096,16777216,33554432",
    )  # fmt: skip
    framed = 8 * (mtu + 14 + 24) / LINE_BPS  # seconds of a wire packet, which carries mtu - 52 bytes
    steps_s = 6 * (size / 4 / (mtu - 52) * framed + 2 * DELAY_S)
    (took_s,) = {float(row["time_s"]) for row in measured(rows, rank="0")}
    assert took_s == pytest.approx(steps_s + 6 * segments * framed, rel=0.005)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (predicted,) = manifest["predictions"]
    assert predicted["time_s"] == pytest.approx(steps_s)
    assert took_s == pytest.approx(predicted["time_s"], rel=0.02)


def test_the_command_that_draws_the_wall_draws_it(tmp_path: Path) -> None:
    figure = tmp_path / "wall.png"
    argv = [sys.executable, *shlex.split(WALL)[1:-1], str(figure)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=100)
    assert figure.stat().st_size > 10_000


@pytest.mark.soak
@pytest.mark.parametrize("mtu", [1500, 8244])
def test_the_guides_stream_both_ways_fills_what_headers_leave(tmp_path: Path, mtu: int) -> None:
    rows = simulated_run(tmp_path / "run", *asked(BOTH_WAYS.replace("8244", str(mtu))))
    for row in rows:
        bps = 8 * int(row["payload_received_bytes"]) / float(row["time_s"])
        assert bps >= 0.99 * LINE_BPS * (mtu - 52) / (mtu + 14 + 24)


@pytest.mark.soak
def test_the_guides_ring_of_254_hosts_ends(tmp_path: Path) -> None:
    rows = simulated_run(tmp_path / "run", *asked(MANY))
    assert len(rows) == 254


def test_samples_of_connections_have_simulated_times(tmp_path: Path) -> None:
    rows = simulated_run(
        tmp_path / "run", "--topology", "pair", "--link", "1Gbit,1ms", "--path", "devmem", "--size", "1M",
        "--iters", "1", "--warmup", "0", "--repeat", "1", "--payload", "counted", "--tcp-info", "5ms",
    )  # fmt: skip
    with open(tmp_path / "run" / "tcp_info.csv", newline="") as file:
        times = sorted({float(row["time_s"]) for row in csv.DictReader(file)})
    assert 1 < times[0] <= min(float(row["start_s"]) for row in rows)
    assert times[-1] < 3
    assert times[1] - times[0] == pytest.approx(0.005)
