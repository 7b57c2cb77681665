"""run.py as a user runs it: results, failures, interruptions, and that nothing is left."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import processes_with

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PROJECT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 20.0  # from a failure or a signal to the end of everything, on a busy machine
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def no_directories_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After the test the temporary directory, here one of the test's own, is as empty as before. Its name is
    short because Ray's socket paths are limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as place:
        monkeypatch.setenv("TMPDIR", place)
        yield
        assert os.listdir(place) == []


class Started:
    """A run.py in a session of its own, as a terminal's foreground group is."""

    def __init__(self, directory: Path, *options: str, python: str = sys.executable) -> None:
        self.run_dir = directory / "results" / "it"
        where = ["--results", str(directory / "results"), "--run-id", "it"]
        self.process = subprocess.Popen(
            [python, str(PROJECT / "run.py"), *where, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until(self, condition: Callable[[], object], patience_s: float = 60.0) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "it did not come so far"
            time.sleep(0.02)

    def until_trials_run(self) -> None:
        self.until((self.run_dir / "samples.csv").exists)
        time.sleep(0.7)

    def end(self, within_s: float = 150.0) -> tuple[int, str, list[str]]:
        """Status, stdout and the lines of stderr that are run.py's own."""
        out, self.err = self.process.communicate(timeout=within_s)
        said = [line for line in self.err.splitlines() if line.startswith("run.py: ")]
        return self.process.returncode, out, said

    @property
    def manifest(self) -> Any:
        return json.loads((self.run_dir / "manifest.json").read_text())

    def rows(self, name: str = "samples.csv") -> list[Row]:
        with open(self.run_dir / name, newline="", encoding="utf-8") as file:
            return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> object:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def completed(directory: Path, *options: str) -> Started:
    run = Started(directory, *options)
    status, out, said = run.end()
    assert (status, said) == (0, []), (status, out, said)
    assert run.err == "", "it is quiet where there is no terminal"
    return run


def accesses_per_byte(rows: list[Row], path: str) -> float:
    mine = [row for row in rows if row["path"] == path]
    payload = sum(row["payload_sent_bytes"] + row["payload_received_bytes"] for row in mine)
    moved = sum(row["host_dram_read_bytes"] + row["host_dram_write_bytes"] for row in mine)
    return float(moved / payload)


def test_an_all_reduce_over_three_paths_is_right_and_moves_the_closed_form(tmp_path: Path) -> None:
    run = completed(tmp_path, "--hosts", "3", "--size", "8,1M", "--repeat", "2", "--iters", "2")
    rows = run.rows()
    # Paths, sizes, repetitions, places, iterations with warm-up, ranks.
    assert len(rows) == 3 * 2 * 2 * 2 * 3 * 3
    assert {row["wrong_elements"] for row in rows} == {0}
    large = [row for row in rows if row["size_bytes"] == 1 << 20]
    assert accesses_per_byte(large, "devmem") < 0.012
    assert accesses_per_byte(large, "bounce") == pytest.approx(4.0, rel=0.01)
    assert accesses_per_byte(large, "kernel") == pytest.approx(4.0, rel=0.01)
    for row in large:
        derived = row["host_dram_derived_bytes"]
        assert (derived > 0) == (row["path"] == "kernel")
    devmem = [row for row in large if row["path"] == "devmem"]
    # What devmem has in host memory is the headers, to the byte.
    assert all(
        row["host_dram_read_bytes"] + row["host_dram_write_bytes"] == row["header_host_dram_bytes"]
        for row in devmem
    )
    assert_closed_form(rows)
    with open(run.run_dir / "link_usage.csv", newline="") as file:
        links = [row for row in csv.DictReader(file) if row["size_bytes"] == str(1 << 20)]
    for path in ("devmem", "bounce", "kernel"):
        for sender in ("h1-eth0", "s1-eth1"):  # six iterations of 4/3 MiB and headers, in each direction
            sent = [int(row["sent_bytes"]) for row in links if (row["path"], row["sender"]) == (path, sender)]
            assert sent == pytest.approx([8 << 20] * 2, rel=0.03), (path, sender)
    assert_counted_over_time(run, rows)
    manifest = run.manifest
    assert (manifest["status"], manifest["error"]) == ("complete", None)
    assert (manifest["memory_counters"] is None) == bool(manifest["memory_counters_reason"])
    assert "figures/links.png" in manifest["files"]
    assert {"samples.csv", "summary.csv", "report.html"} <= set(manifest["files"])
    assert any(name.startswith("figures/") for name in manifest["files"])


def assert_counted_over_time(run: Started, rows: list[Row]) -> None:
    """ledger.csv has what samples.csv has, of each host and trial, and what lies between iterations."""
    intervals = run.rows("ledger.csv")
    for trial in {(*trial_of(row), row["host"]) for row in rows}:
        own = [row for row in rows if (*trial_of(row), row["host"]) == trial]
        counted = [row for row in intervals if (*trial_of(row), row["host"]) == trial]
        staged = sum(row["cpu_host_to_host_bytes"] for row in counted)
        assert staged == sum(row["payload_staged_bytes"] for row in own), trial
        wire = sum(sum(row[f"nic_{way}_bytes"] for way in WAYS) for row in counted)
        payload = sum(row["payload_sent_bytes"] + row["payload_received_bytes"] for row in own)
        assert payload <= wire <= 1.1 * payload + 100, trial
        assert sum(row["app_voluntary_switches"] + row["app_involuntary_switches"] for row in own) > 0
        for earlier, later in itertools.pairwise(counted):
            assert earlier["end_s"] == pytest.approx(later["begin_s"], abs=1e-5)
        start_s, end_s = min(row["start_s"] for row in own), max(row["end_s"] for row in own)
        begin_s = counted[0]["time_s"]
        assert begin_s <= start_s <= end_s <= begin_s + counted[-1]["end_s"] - counted[0]["begin_s"] + 0.05


WAYS = (
    "wire_to_host", "wire_to_device", "wire_to_far", "host_to_wire", "device_to_wire", "far_to_wire",
)  # fmt: skip


def test_a_table_says_which_path_has_no_devmem_tx_and_which_a_clean_wire(tmp_path: Path) -> None:
    shape = ["--topology", "pair", "--size", "64K", "--repeat", "1", "--path", "devmem,kernel"]
    run = Started(tmp_path, *shape, "--kernel", "6.12", "--impair", "delay=100us", "--clean-kernel-wire")
    status, out, said = run.end()
    assert (status, said) == (0, [])
    assert_closed_form(run.rows(), rx_only=True)
    for mark in ("devmem(RX-only)", "kernel(clean-wire)"):
        assert f" -1 {mark} " in out
        assert f"\n# {mark}: " in out
    with open(run.run_dir / "summary.csv", newline="", encoding="utf-8") as file:
        found = {row["path"]: row for row in csv.DictReader(file)}
    for row in found.values():
        assert abs(float(row["host_dram_deviation_percent"])) < 0.1
    assert float(found["devmem"]["host_dram_bytes_per_payload_byte"]) == pytest.approx(2.0, abs=0.1)


def assert_closed_form(rows: list[Row], rx_only: bool = False) -> None:
    """To the byte, at every size: four accesses a payload byte where it is staged, and two of 66 bytes for
    each packet. `rx_only`: devmem stages what it sends. A trial in which TCP sent
    something twice, or could have, is left out."""
    disturbed = {trial_of(row) for row in rows if row["tcp_retrans_segs"]}
    for row in rows:
        if trial_of(row) in disturbed:
            continue
        payload = row["payload_sent_bytes"] + row["payload_received_bytes"]
        moved = row["host_dram_read_bytes"] + row["host_dram_write_bytes"]
        headers = row["header_host_dram_bytes"]
        if row["path"] != "kernel":
            shorter = 2 * 66 * (row["rx_packets"] + row["tx_packets"]) - headers
            assert shorter in {n * 2 * (66 - 42) for n in range(9)}, row  # ARP's have 42 bytes
        assert moved - headers == 4 * row["payload_staged_bytes"], row
        devmem = row["payload_sent_bytes"] if rx_only else 0
        assert row["payload_staged_bytes"] == (devmem if row["path"] == "devmem" else payload)


def trial_of(row: Row) -> tuple[Any, ...]:
    return row["path"], row["size_bytes"], row["repetition"]


@pytest.mark.parametrize(
    "options", [[], ["--bidir", "--gso-max", "512K", "--niov-size", "16K", "--mtu", "9000"]]
)
def test_a_stream_arrives_right_on_all_paths(tmp_path: Path, options: list[str]) -> None:
    shape = ["--topology", "pair", "--workload", "stream", "--duration", "0.5", "--repeat", "1"]
    rows = completed(tmp_path, *shape, *options).rows()
    assert {row["wrong_elements"] for row in rows} == {0}
    for path in ("devmem", "bounce", "kernel"):
        sender, receiver = sorted((row for row in rows if row["path"] == path), key=lambda row: row["rank"])
        assert sender["payload_sent_bytes"] == receiver["payload_received_bytes"] > 0
        assert receiver["payload_sent_bytes"] == sender["payload_received_bytes"]
        assert (sender["payload_received_bytes"] > 0) == ("--bidir" in options)
        assert 0 < receiver["checked_bytes"] <= receiver["payload_received_bytes"]


def test_a_memory_ceiling_stops_the_paths_that_stage_and_not_devmem(tmp_path: Path) -> None:
    shape = ["--topology", "pair", "--workload", "stream", "--duration", "2", "--repeat", "1"]
    rows = completed(tmp_path, *shape, "--host-mem-bw", "200MB/s").rows()
    arrived = {row["path"]: row["payload_received_bytes"] / row["time_s"] for row in rows if row["rank"] == 1}
    for path in ("bounce", "kernel"):
        assert arrived[path] < 1.2 * 200e6 / 4
    assert arrived["devmem"] > 2 * arrived["bounce"]


STREAM = [
    "--topology",
    "pair",
    "--workload",
    "stream",
    "--duration",
    "60",
    "--path",
    "devmem",
    "--repeat",
    "1",
]


def endpoints_of_h2(token: str) -> list[int]:
    found = processes_with(token).items()
    return [pid for pid, line in found if "nodes.endpoint" in line and '"name":"h2"' in line]


def test_an_endpoint_that_is_killed_ends_the_run_with_a_sentence(tmp_path: Path, token: str) -> None:
    run = Started(tmp_path, *STREAM)
    run.until_trials_run()
    (victim,) = endpoints_of_h2(token)
    os.kill(victim, signal.SIGKILL)
    status, _, said = run.end(ENDS_WITHIN_S)
    assert status == 1
    assert len(said) == 1
    assert "the endpoint of host h2 ended with signal 9; see the logs in" in said[0]
    assert run.manifest["status"] == "failed"
    assert "host h2" in run.manifest["error"]


def test_a_rank_that_is_killed_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    run = Started(tmp_path, *STREAM, "--fault", "application-killed:rank0,at=500ms")
    run.until_trials_run()
    status, out, said = run.end(ENDS_WITHIN_S)
    assert status == 1
    assert len(said) == 1
    assert "fault application-killed:rank0,at=500ms has ended the run: the process of rank 0" in said[0]
    assert "# THIS RUN IS FAILED: fault application-killed" in out
    assert run.manifest["status"] == "failed"
    (step,) = run.manifest["faults"]
    assert (step["action"], step["actual_s"] >= 0.5) == ("killed", True)


@pytest.mark.parametrize(
    ("process", "sentence"),
    [
        ("/raylet/raylet ", "Ray's raylet has ended"),
        ("topologies.mininet.builder", "the network's builder ended"),
    ],
)
def test_a_server_that_is_killed_ends_the_run_with_a_sentence(
    tmp_path: Path, token: str, process: str, sentence: str
) -> None:
    run = Started(tmp_path, *STREAM)
    run.until_trials_run()
    os.kill(min(pid for pid, line in processes_with(token).items() if process in line), signal.SIGKILL)
    status, _, said = run.end(ENDS_WITHIN_S)
    assert (status, len(said)) == (1, 1)
    assert sentence in said[0]


def ranks_start(run: Started) -> None:
    run.until((run.run_dir / "h2.log").exists)
    time.sleep(2.0)


MOMENTS: dict[str, Callable[[Started], None]] = {
    "at once": lambda _: time.sleep(0.3),
    "while options are read": lambda _: time.sleep(1.0),
    "while the network is built": lambda run: run.until((run.run_dir / "fabric.log").exists),
    "while endpoints start": lambda run: run.until((run.run_dir / "h1.log").exists),
    "while ranks start": ranks_start,
    "while trials run": Started.until_trials_run,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_the_run_at_any_moment(tmp_path: Path, moment: str) -> None:
    run = Started(tmp_path, *STREAM)
    MOMENTS[moment](run)
    os.killpg(run.process.pid, signal.SIGINT)
    status, out, said = run.end(ENDS_WITHIN_S)
    assert (status, out, len(said)) == (130, "", 1) or moment == "at once", (status, out, said)
    if run.run_dir.exists():
        assert run.manifest["status"] == "interrupted"
        assert "stopped by SIGINT" in said[0]


def test_ctrl_c_ends_a_run_whose_endpoint_hangs(tmp_path: Path, token: str) -> None:
    run = Started(tmp_path, *STREAM)
    run.until(lambda: endpoints_of_h2(token))
    os.kill(endpoints_of_h2(token)[0], signal.SIGSTOP)
    run.process.send_signal(signal.SIGINT)
    status, _, said = run.end(ENDS_WITHIN_S)
    assert (status, len(said)) == (130, 1)
    assert run.manifest["status"] == "interrupted"


@pytest.mark.parametrize("moment", ["while ranks start", "while trials run"])
def test_sigterm_ends_the_run_as_well(tmp_path: Path, moment: str) -> None:
    run = Started(tmp_path, *STREAM)
    MOMENTS[moment](run)
    run.process.terminate()
    status, _, said = run.end(ENDS_WITHIN_S)
    assert (status, len(said)) == (143, 1)
    assert run.manifest["status"] == "interrupted"


def test_clean_removes_what_a_killed_run_leaves_and_only_then(tmp_path: Path, token: str) -> None:
    run = Started(tmp_path, *STREAM)
    run.until_trials_run()
    clean = [sys.executable, str(PROJECT / "run.py"), "clean"]
    during = subprocess.run(clean, capture_output=True, text=True, timeout=30, check=True)
    assert "left alone" in during.stdout
    assert run.process.poll() is None
    run.process.kill()
    run.process.communicate()
    after = subprocess.run(clean, capture_output=True, text=True, timeout=30, check=True)
    assert "run it: removed: record" in after.stdout
    again = subprocess.run(clean, capture_output=True, text=True, timeout=30, check=True)
    assert again.stdout == "nothing to clean\n"
    assert not [line for line in processes_with(token).values() if "nodes.endpoint" in line]


def test_doctor_finds_this_machine_fit(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "run.py"), "doctor"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    lacking = [line.split()[1] for line in found.stdout.splitlines() if line.startswith("missing ")]
    assert {*lacking} <= {"memory", "/tmp", "/dev/shm"}  # of which others may have taken much
    assert "ok       root" in found.stdout


def test_a_full_disk_is_named_and_what_was_measured_is_shown(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(results)], check=True)
    try:
        run = Started(
            tmp_path, "--topology", "pair", "--path", "devmem", "--size", "8:512:x2", "--iters", "1",
            "--warmup", "0", "--repeat", "100",
        )  # fmt: skip
        samples = run.run_dir / "samples.csv"
        run.until(lambda: samples.exists() and samples.stat().st_size > 8192)
        with pytest.raises(OSError), open(results / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        status, out, said = run.end()
        assert (status, len(said)) == (1, 1), (status, out, said)
        names = (samples.name, "usage.csv", "link_usage.csv", "ledger.csv", "memory_counters.csv")
        full = [f"{samples.with_name(name)} cannot be written (No space left" for name in names]
        assert any(each in said[0] for each in full), said
        assert "THIS RUN IS FAILED" in out
        assert [line for line in out.splitlines() if " devmem " in line and not line.startswith("#")]
        assert run.manifest["status"] == "failed"
        assert samples.read_bytes().endswith(b"\n")
        assert len(run.rows()) % 2 == 0
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)
