"""A run made twice for real, on Mininet and simulated."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

PROJECT = Path(__file__).resolve().parents[2]
CELL = """
cells:
  - name: pair
    run: >-
      --topology pair --link 100Mbit,1ms --size 256K --iters 1 --warmup 0 --place out --path devmem --repeat 1
      --allow-uncalibrated
"""


@pytest.mark.usefixtures("machines_network")
def test_a_pair_has_a_row_with_both_halves_and_how_far_they_are_apart(tmp_path: Path) -> None:
    """Times of a busy machine are its own: the row says so, and which of them agree is not asked here."""
    (tmp_path / "cells.yaml").write_text(CELL)
    words = [sys.executable, str(PROJECT / "run.py"), "crosscheck", f"--cells={tmp_path / 'cells.yaml'}"]
    ended = subprocess.run(
        [*words, f"--results={tmp_path / 'out'}"], capture_output=True, text=True, check=False, timeout=150
    )
    (place,) = (tmp_path / "out").iterdir()
    (cell,) = json.loads((place / "crosscheck.json").read_text())["cells"]
    assert cell["reason"] == "", ended.stderr
    verdicts = []
    for run in cell["runs"]:
        manifest = json.loads((place / run / "manifest.json").read_text())
        assert manifest["status"] == "complete"
        verdicts.append(manifest["fidelity"]["verdict"])
    with open(place / "crosscheck.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert verdicts == [row["mininet_verdict"], "simulated"]
    mininet, simulated, apart = (float(row[name]) for name in ("mininet", "simulated", "apart_percent"))
    assert simulated > 256 * 1024 * 8 / 100e6 * 1e6, "what the line takes, in us"
    assert mininet > 2000, "two delays; what the token bucket holds passes at once"
    assert apart == pytest.approx((simulated / mininet - 1) * 100)
    assert all(row[f"{half}_retrans"] for half in ("mininet", "simulated"))
    assert ended.returncode == (row["outcome"] == "differs")
    assert f"{apart:+.1f}" in ended.stdout
