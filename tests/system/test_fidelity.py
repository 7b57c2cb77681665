"""A run's verdict for real: without rates it is the CPU's, with a slow link the network's."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import command
from tests.system.reader import project, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROJECT = Path(__file__).resolve().parents[2]
CAPACITY = command("docs/fidelity.md", "python3 run.py doctor --capacity")
PAIR = ["--topology", "pair", "--repeat", "1", "--path", "kernel", "--require-faithful"]


def run(place: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """The run, and its manifest."""
    words = [
        sys.executable,
        str(PROJECT / "run.py"),
        "--results",
        str(place),
        "--run-id",
        "it",
        *PAIR,
        *options,
    ]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=200)
    return ended, json.loads((place / "it" / "manifest.json").read_text())


def used(place: Path) -> list[dict[str, str]]:
    with open(place / "it" / "usage.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("machines_network")
def test_a_number_of_a_link_without_a_rate_is_the_cpus_and_ends_with_3(tmp_path: Path) -> None:
    ended, manifest = run(tmp_path, "--size", "64K", "--iters", "1", "--place", "in")
    assert ended.returncode == 3, ended
    verdict = manifest["fidelity"]["verdict"]
    assert verdict in ("cpu-limited", "stolen"), "another machine beside this one may have taken its time"
    assert f"run.py: the run is {verdict}, not faithful; see the table\n" in ended.stderr
    assert manifest["status"] == "complete"
    (row,) = manifest["fidelity"]["rows"]
    assert (row["path"], row["size_bytes"], row["verdict"]) == ("kernel", 65536, verdict)
    lines = [line for line in ended.stdout.splitlines() if not line.startswith("#")]
    assert [line.split()[-1] for line in lines[2:]] == [verdict]
    for host, nic in zip(("h1", "h2"), manifest["interfaces"], strict=True):
        assert (nic["node"], nic["interface"]) == (host, f"{host}-eth0")
        assert {int(mask.replace(",", ""), 16) for mask in nic["rps_cpus"]} == {0}, "the kernel's default"
        assert "generic-segmentation-offload" in nic["offloads"]
    (alike,) = manifest["hosts"]
    assert alike["nodes"] == ["h1", "h2"]
    # One that a namespace has of its own, and one that is the machine's.
    assert alike["sysctls"]["net.ipv4.tcp_sack"] == Path("/proc/sys/net/ipv4/tcp_sack").read_text().strip()
    assert int(alike["sysctls"]["net.core.netdev_max_backlog"]) > 0


def test_a_slow_link_that_is_full_is_the_networks(tmp_path: Path) -> None:
    ended, manifest = run(tmp_path, "--workload", "stream", "--duration", "1", "--link", "20Mbit")
    (row,) = manifest["fidelity"]["rows"]
    found = {each["name"]: each for each in used(tmp_path)}
    ours = {"h1:rank0", "h2:rank1", "h1:endpoint", "h2:endpoint", "h1-eth0", "h2-eth0"}
    assert found.keys() == ours | {f"cpu{number}" for number in range(os.cpu_count() or 1)}
    link = found["h1-eth0"]
    assert int(link["rate_bps"]) == 20_000_000
    # What left the interface is what arrived, with headers, and it did not leave faster than asked.
    assert row["size_bytes"] < int(link["bytes"]) < 1.1 * row["size_bytes"]
    passed = 8 * (int(link["bytes"]) - int(link["burst_bytes"]))
    assert passed < 1.05 * 20_000_000 * float(link["timed_s"])
    assert float(found["h2:rank1"]["busy_s"]) > 0
    if row["verdict"] == "faithful":
        assert (ended.returncode, row["reason"].split()[0]) == (0, "h1-eth0"), ended
    else:  # others take this machine's CPU
        assert ended.returncode == 3, ended
        assert row["verdict"] in ("stolen", "mixed", "cpu-limited", "link-uncalibrated"), row
        assert os.getloadavg()[0] > 1 or row["verdict"] == "stolen", row


def test_what_this_machine_carries_is_measured(tmp_path: Path) -> None:
    table = typed(CAPACITY, project(tmp_path)).splitlines()
    assert table[0].startswith("hosts ")
    rates = [line.split() for line in table[1:7]]
    assert [words[0] for words in rates] == ["2", "4", "8", "16", "32", "64"]
    assert all(float(words[1]) > 0 for words in rates)
    assert table[7].startswith("# Measured: ")
