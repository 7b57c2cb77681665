"""docs/results.md word for word: a run, and its results drawn again."""

from __future__ import annotations

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
    measure, redraw = block("docs/results.md", "python3 run.py").splitlines()
    measured = typed(measure, place)
    results = place / "results" / "mine"
    derived = [results / "summary.csv", results / "report.html"]
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


def without_place(output: str) -> str:
    return re.sub(r"# Report: .*", "", output)
