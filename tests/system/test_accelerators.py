"""Hosts with several NICs and accelerators: ranks on all of them, and PCIe bytes of the closed form."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import block

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

PROJECT = Path(__file__).resolve().parents[2]
RAILS = shlex.split(block("docs/topologies.md", "python3 run.py --topology rail_optimized"))[2:]
KIB = 1024
NO_OPTIONS = 66 - 42  # an ARP packet is so much shorter than a header
AGAIN = 16 * KIB  # a tail loss probe meets a host that waits for its bus

# Two networks that share nothing but hosts. The second host's PCIe is slow.
PLANES = """\
hosts:
  h1: {accelerators: {a0: {nic: h1-eth0, memory: 80M}, a1: {nic: h1-eth1}}}
  h2: {accelerators: 2, pcie_bw: 1MB/s}
switches: {s1: , s2: }
links:
- endpoints: [h1, s1]
- endpoints: [h1, s2]
- endpoints: [h2, s1]
- endpoints: [h2, s2]
"""


def run(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    where = ["--results", str(directory), "--run-id", "it", "--iters", "1", "--warmup", "0", "--place", "in"]
    command = [sys.executable, str(PROJECT / "run.py"), *options, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def rows(directory: Path, name: str) -> list[dict[str, Any]]:
    with open(directory / "it" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_ranks_of_hosts_with_rails_reduce_right_on_every_path(tmp_path: Path) -> None:
    found = run(tmp_path, *RAILS)
    assert found.returncode == 0, found.stderr
    samples = rows(tmp_path, "samples.csv")
    assert {row["wrong_elements"] for row in samples} == {"0"}
    assert {path: sum(row["path"] == path for row in samples) for path in ("devmem", "bounce", "kernel")} == {
        "devmem": 8, "bounce": 8, "kernel": 8,
    }  # fmt: skip
    ranks = json.loads((tmp_path / "it" / "manifest.json").read_text())["ranks"]
    assert [(each["host"], each["accelerator"], each["nic"]) for each in ranks[1:7:3]] == [
        ("h1", "accel1", "h1-eth0"), ("h2", "accel0", "h2-eth0"),
    ]  # fmt: skip
    share = 2 * 7 * 64 * KIB // 8  # what a rank sends, and what it receives
    for row in samples:
        between_hosts = (row["rank"] in "37") + (row["rank"] in "04")  # sends to, hears of another host
        assert int(row["payload_local_bytes"]) == share * (2 - between_hosts)
        assert int(row["fabric_bytes"]) == share * (row["rank"] not in "04")
    by_nic = rows(tmp_path, "nics.csv")
    assert len(by_nic) == 3 * 2 * 2
    for row in by_nic:
        assert float(row["network_payload_bytes"]) == share
        if row["path"] == "kernel":
            assert float(row["pcie_root_bytes"]) == float(row["pcie_switch_bytes"]) > 2 * share
            continue
        for what in ("switch", "root"):
            shorter = float(row[f"expected_{what}_bytes"]) - float(row[f"pcie_{what}_bytes"])
            assert shorter in {number * NO_OPTIONS for number in range(5)}, row


def test_a_nic_of_another_switch_crosses_the_root_and_a_slow_switch_is_waited_for(tmp_path: Path) -> None:
    """Rank 1 reaches rank 2 by the NIC of the other network alone, and so does rank 3 rank 0."""
    file = tmp_path / "planes.yaml"
    file.write_text(PLANES)
    found = run(tmp_path, "--topology", str(file), "--size", "64K", "--repeat", "1", "--path", "devmem")
    assert found.returncode == 0, found.stderr
    samples = rows(tmp_path, "samples.csv")
    assert {row["wrong_elements"] for row in samples} == {"0"}
    share = 2 * 3 * 64 * KIB // 4
    by_nic = {row["nic"]: row for row in rows(tmp_path, "nics.csv")}
    for nic, crossed in (("h1-eth0", share), ("h1-eth1", 0), ("h2-eth0", share), ("h2-eth1", 0)):
        beyond_headers = float(by_nic[nic]["pcie_root_bytes"]) - float(by_nic[nic]["expected_root_bytes"])
        assert -5 * NO_OPTIONS <= beyond_headers - crossed < AGAIN
    assert max(float(row["time_s"]) for row in samples) > 0.9 * share / 1e6
