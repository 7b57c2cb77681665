"""docs/workloads.md word for word: a trace is written, replayed and looked at; a reader's function runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.docs.pages import block
from tests.system.reader import project, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

TRACES = block("docs/workloads.md", "python3 run.py trace steps --write").splitlines()
SOURCE = block("docs/workloads.md", "def exchange(rank)")
OWN = block("docs/workloads.md", "python3 run.py --topology pair --workload exchange.py").splitlines()


def cells(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def test_a_trace_is_written_replayed_and_looked_at(tmp_path: Path) -> None:
    place = project(tmp_path)
    write, predict, replay, look = TRACES
    written, predicted = cells(typed(write, place)), cells(typed(predict, place))
    assert float(predicted[1][2]) == pytest.approx(float(written[1][2]) / 2, abs=1e-6)
    assert "# Out of bounds values : 0 OK" in typed(replay, place)
    done = place / "results" / "replayed"
    looked = cells(typed(look, place))
    assert [row[:2] + row[3:5] for row in looked] == [row[:2] + row[3:5] for row in written]
    assert float(looked[1][2]) >= float(written[1][2])
    recorded = json.loads((done / "manifest.json").read_text())["files"]
    assert {"operations.csv", "trace/devmem/rank1.jsonl", "trace/devmem/timeline.json"} <= set(recorded)
    with open(done / "operations.csv", newline="") as read:
        rows = list(csv.DictReader(read))
    nodes = int(written[-1][1])
    assert len(rows) == 3 * nodes
    events = json.loads((done / "trace" / "devmem" / "timeline.json").read_text())["traceEvents"]
    assert sum(each["ph"] == "X" for each in events) == nodes


def test_a_function_of_ones_own_runs_and_a_program_is_checked(tmp_path: Path) -> None:
    place = project(tmp_path)
    (place / "exchange.py").write_text(SOURCE)
    act, write = OWN
    out = typed(act, place)
    assert "# exchange.py:exchange on pair, 2 hosts, 2 ranks, 1 repetition" in out
    assert "# Out of bounds values : 0 OK" in out
    (run_dir,) = (place / "results").iterdir()
    assert "-exchange-pair2-" in run_dir.name
    assert cells(typed(write, place))[-1] == ["all", "12", "0.008000", "262144", "0", "0.002000"]
