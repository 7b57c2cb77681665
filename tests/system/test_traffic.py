"""Background traffic for real: as much as was asked, delivered, reported, and gone at the end."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import block
from tests.system.standing import PROJECT, command

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MEASURED, STANDING = block("docs/traffic.md", "python3 run.py --topology dumbbell").splitlines()
MIXED = block("docs/traffic.md", "# mixed.yaml")


def words(line: str, directory: Path) -> list[str]:
    python, script, *rest = shlex.split(line)
    assert (python, script) == ("python3", "run.py")
    return [*rest, "--results", str(directory / "results"), "--run-id", "it"]


def rows(directory: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader((directory / "results/it/traffic.csv").read_text().splitlines()))


def test_a_run_is_measured_beside_traffic_that_is_what_was_asked(tmp_path: Path) -> None:
    found = command(*words(MEASURED, tmp_path), timeout_s=250)
    assert found.returncode == 0, found.stderr
    told = [line for line in found.stdout.splitlines() if line.startswith("# Traffic ")]
    assert [line.split(":")[0] for line in told] == ["# Traffic poisson", "# Traffic constant"]
    manifest = json.loads((tmp_path / "results/it/manifest.json").read_text())
    poisson, constant = manifest["traffic"]
    assert constant["offered_bytes"] == pytest.approx(5e6 / 8 * constant["seconds"], abs=1472 + 5e6 / 8 / 10)
    assert 0.5 < constant["delivered_bytes"] / constant["offered_bytes"] <= 1
    assert 0 < poisson["completed"] <= poisson["flows"]
    assert 0.5 < poisson["delivered_bytes"] / poisson["offered_bytes"] <= 1
    assert 0.002 < poisson["fct_p50_s"] <= poisson["fct_p99_s"], "two round trips at least"
    assert {row["source"] for row in rows(tmp_path)} == {"h1", "h2", "h3", "h4"}
    assert "traffic.csv" in manifest["files"]
    used = list(csv.DictReader((tmp_path / "results/it/usage.csv").read_text().splitlines()))
    busy = {row["name"]: float(row["busy_s"]) for row in used if row["kind"] == "process"}
    assert {f"h{number}:traffic" for number in range(1, 5)} <= set(busy)
    assert "links carried background traffic, too" in found.stdout


def test_up_has_a_files_traffic_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(MIXED)
    argv = [sys.executable, str(PROJECT / "run.py"), *words(STANDING, tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)
    assert process.stdout is not None
    for _ in range(4):
        assert process.stdout.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    told = [line for line in said.splitlines() if line.startswith("traffic ")]
    assert [line.split(":")[0] for line in told] == ["traffic poisson", "traffic on-off"]
    (burst,) = [row for row in rows(tmp_path) if row["kind"] == "on-off"]
    seconds, offered = float(burst["seconds"]), int(burst["offered_bytes"])
    assert offered == pytest.approx(20e6 / 8 * seconds / 4, rel=0.1), "on for a quarter of the time"
    assert int(burst["delivered_bytes"]) > 0.8 * offered
    assert burst["source"] == "h3"
    assert burst["destination"] in ("h1", "h2")
    assert command("clean").stdout.count("removed") == 0
