"""docs/results.md word for word: a run, and its results drawn again."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from tests.docs import pages
from tests.docs.pages import block
from tests.system.reader import project, typed
from topologies.shapes.registry import build
from topologies.topology import Topology

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_the_second_command_draws_the_firsts_results_again(tmp_path: Path) -> None:
    place = project(tmp_path)
    shown = block("docs/results.md", "python3 run.py --topology pair --size 64K --repeat")
    measure, redraw = shown.splitlines()
    measured = typed(measure, place)
    results = place / "results" / "mine"
    derived = [results / name for name in ("summary.csv", "report.html", "report.md")]
    before = [path.read_bytes() for path in derived]
    for path in derived:
        path.unlink()
    redrawn = typed(redraw, place)
    assert without_place(redrawn) == without_place(measured)
    assert [path.read_bytes() for path in derived] == before
    recorded = json.loads((results / "manifest.json").read_text())["files"]
    assert [hashlib.sha256(data).hexdigest() for data in before] == [recorded[path.name] for path in derived]
    assert "# Out of bounds values : 0 OK" in measured
    written = {path.name for path in results.iterdir()}
    section = pages.text("docs/results.md").split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `") and "with `--" not in line]
    named = {name.rstrip("/") for row in rows for name in pages.named(row.split("|")[1])}
    expanded = {each for name in named for each in (name.replace("HOST", "h1"), name.replace("HOST", "h2"))}
    assert written == expanded
    built = msgspec.json.decode((results / "topology.json").read_bytes(), type=Topology)
    asked = build("pair")
    assert (built.shape, built.links, built.switches) == (asked.shape, asked.links, asked.switches)
    assert [host.name for host in built.hosts] == [host.name for host in asked.hosts]


def test_columns_that_were_asked_for_have_what_was_measured(tmp_path: Path) -> None:
    """Of devmem: tokens were returned, net_iovs in use, and warm-up went on for its time."""
    place = project(tmp_path)
    command = block("docs/results.md", "python3 run.py --topology pair --size 64K --path").strip()
    shown = typed(f"{command} --iters 2 --repeat 1 --warmup-time 0.3 --run-id asked", place)
    header, _, *rows = [line.split() for line in shown.splitlines() if not line.startswith("#")]
    assert header == ["path", "size", "time", "spread", "pool", "token_p99"]
    assert [row[:2] for row in rows] == [["devmem", "65536"]] * 2
    with (place / "results" / "asked" / "samples.csv").open() as file:
        samples = list(csv.DictReader(file))
    for rank in ("0", "1"):
        warm = [row for row in samples if row["rank"] == rank and row["warmup"] == "1"]
        assert len(warm) > 2 == len({row["in_place"] for row in warm}), "kept, and more than --warmup's"
    assert len({len([row for row in samples if row["rank"] == rank]) for rank in ("0", "1")}) == 1
    for row in samples:
        held = [float(row[f"token_return_{each}_us"]) for each in ("p50", "p95", "p99", "max")]
        assert 0 < held[0] <= held[1] <= held[2] <= held[3] < 1e6 * (
            float(row["end_s"]) - float(row["start_s"])
        )
        # Of 64 KiB a rank receives 32 twice; its dma-buf has more than that.
        assert 0 < float(row["rx_pool_peak_share"]) < 1
        assert 0 <= float(row["app_system_cpu_s"]) <= float(row["app_cpu_s"])
        assert row["rx_hw_drop_overruns"] == "0"


def test_what_a_switchs_queue_drops_is_in_the_row_of_its_path(tmp_path: Path) -> None:
    """Two hosts send to a third at once, through a port whose queue is shorter than what they may have under
    way."""
    place = project(tmp_path)
    where = "--topology star --hosts 3 --link 50Mbit,2ms,queue_packets=50 --allow-uncalibrated"
    what = "--workload incast --size 1M --path kernel,devmem --iters 1 --repeat 1 --run-id drops"
    shown = typed(f"python3 run.py {where} {what} --columns path,link_drops,retransmits", place)
    rows = [line.split() for line in shown.splitlines() if not line.startswith("#")][2:]
    assert [row[0] for row in rows] == ["kernel", "devmem"]
    with (place / "results" / "drops" / "link_usage.csv").open() as file:
        links = list(csv.DictReader(file))
    for path, drops, retransmits in rows:
        of_port = {row["sender"]: int(row["dropped_packets"]) for row in links if row["path"] == path}
        assert sum(of_port.values()) == int(drops) > 0
        assert int(retransmits) > 0
        assert max(of_port, key=lambda name: of_port[name]).startswith("s1-"), "the switch's port to h1"


def without_place(output: str) -> str:
    return re.sub(r"# Report: .*", "", output)
