"""run.py's options for hosts: a bad wire under a whole run, captures, another NIC, traces of its pools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

PROJECT = Path(__file__).resolve().parents[2]


def run_py(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    where = ["--results", str(directory), "--run-id", "it", "--hosts", "2", "--repeat", "1", "--iters", "1"]
    command = [sys.executable, str(PROJECT / "run.py"), *where, "--warmup", "0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_run_over_a_bad_wire_is_correct_and_captured(tmp_path: Path) -> None:
    bad_wire = "loss=0.01,reorder=0.01,delay=100us,seed=2"
    found = run_py(tmp_path, "--path", "devmem", "--size", "256K", "--impair", bad_wire, "--pcap")
    assert found.returncode == 0, found.stderr
    config = json.loads((tmp_path / "it" / "manifest.json").read_text())["config"]
    assert (config["impair"], config["pcap"]) == (bad_wire, True)
    for host in ("h1", "h2"):
        file = tmp_path / "it" / f"{host}.pcapng"
        names = ["-e", "frame.len", "-e", "frame.cap_len", "-e", "tcp.len"]
        command = ["tshark", "-n", "-r", str(file), "-Y", "tcp.len > 1000", "-T", "fields", *names]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        packets = [[int(word) for word in line.split("\t")] for line in lines.splitlines()]
        assert sum(payload for _, _, payload in packets) >= 256 << 10
        assert all(length - stored == payload for length, stored, payload in packets)


def test_a_run_has_the_hosts_that_were_asked_for_and_writes_what_their_pools_do(tmp_path: Path) -> None:
    asked = ["--nic", "gve", "--header-buffer", "100", "--queues", "3", "--trace"]
    found = run_py(tmp_path, "--path", "devmem", "--size", "64K", *asked)
    assert found.returncode == 0, found.stderr
    config = json.loads((tmp_path / "it" / "manifest.json").read_text())["config"]
    assert (config["nic"], config["header_buffer_bytes"], config["rx_queues"]) == ("gve", 100, 3)
    for host in ("h1", "h2"):
        lines = (tmp_path / "it" / f"{host}.trace.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        held, released = (
            [e for e in events if e["event"] == f"page_pool_state_{what}" and e["netmem"] == "net_iov"]
            for what in ("hold", "release")
        )
        assert len(held) == len(released) > 0  # the binding ended: every net_iov has come back
