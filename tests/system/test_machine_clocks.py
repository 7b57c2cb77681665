"""A run across two machines whose clocks really differ: the second one is in a time namespace, and its Unix
time is ahead and drifts. Times in the files are the driver's, and nobody is impatient.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.ray_machines import CLONE_NEWTIME, Clocks
from tests.system.test_machines import Asked, carried_out, rows, vxlan
from tests.system.test_run import no_directories_left
from workloads.trace import file
from workloads.trace.node import Program

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(500)]
__all__ = ["no_directories_left", "vxlan"]  # fixtures

AHEAD = Clocks(monotonic_s=1000, unix_s=7.0, faster=0.05)
COMPUTES_S, TIMEOUT_S = 6.0, 4.0
MESSAGE_BYTES = 1 << 20
APART_S = 0.3  # what times of two machines may be wrong by here: a busy machine's round trips through Ray
COMMON = "run.py --topology star --hosts 4 --across 2 --path devmem --repeat 1"
FAR = ("h3", "h4")  # on the second machine


def refused() -> str:
    """Why this kernel makes no time namespace, or ""."""
    pid = os.fork()
    if not pid:
        os._exit(ctypes.get_errno() if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWTIME) else 0)
    return os.strerror(code) if (code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) else ""


@pytest.fixture
def time_namespaces() -> None:
    if reason := refused():
        pytest.skip(f"no time namespace can be made here ({reason}), so no machine has other clocks")


def written_traces(directory: Path) -> str:
    """Rank 0, on the first machine, computes and tells rank 2, on the second, which does the same and
    answers. Both compute for longer than anyone waits. Rank 0 waits for the answer from the start."""
    programs = [Program(rank, 4) for rank in range(4)]
    there, back = programs[0], programs[2]
    there.receive("answer", 2, MESSAGE_BYTES)
    there.send("question", 2, MESSAGE_BYTES, there.compute("think", COMPUTES_S * 1e6))
    heard = back.receive("question", 0, MESSAGE_BYTES)
    back.send("answer", 0, MESSAGE_BYTES, back.compute("think", COMPUTES_S * 1e6, heard))
    for idle in programs[1::2]:
        idle.compute("nothing", 1.0)
    file.write(directory, [each.trace() for each in programs])
    return str(directory)


@pytest.mark.usefixtures("vxlan", "time_namespaces")
def test_machines_whose_clocks_differ_and_drift_have_one_time_in_the_files(tmp_path: Path) -> None:
    traces = written_traces(tmp_path / "traces")
    replayed = (
        f"{COMMON} --workload replay --trace-dir {traces} --iters 1 --warmup 0 --operations --tcp-info 20ms "
        f"--timeout {TIMEOUT_S} --link 200Mbit,1ms --allow-uncalibrated"
    )
    from_there = f"{COMMON} --workload all_reduce --size 64K --iters 3"
    first, second = carried_out(tmp_path, [Asked(replayed), Asked(from_there, on=2)], AHEAD)
    assert (first["status"], second["status"]) == (0, 0), first["err"] + second["err"]
    assert (first["left"], second["left"]) == ([], [])
    run_dir = tmp_path / "run0"
    check_machines(run_dir, 1000, 7.0)
    check_samples(run_dir)
    check_operations(run_dir)
    check_what_was_measured_beside(run_dir)
    check_machines(tmp_path / "run1", -1000, -7.0)
    check_iterations(tmp_path / "run1")
    assert all(0 <= float(row["begin_s"]) < 60 for row in rows(tmp_path / "run1" / "ledger.csv"))


def check_machines(run_dir: Path, monotonic_s: float, unix_s: float) -> None:
    """What the manifest says: the machine that is not run.py's has other clocks. Its Unix time is further
    away by what it has drifted since the test began."""
    machines: list[dict[str, Any]] = json.loads((run_dir / "manifest.json").read_text())["machines"]
    own, other = machines if monotonic_s > 0 else machines[::-1]
    clocks = [value for name, value in own.items() if name.startswith("clock_")]
    assert clocks == [0.0] * 5
    for name in ("clock_monotonic_offset_s", "clock_monotonic_offset_end_s"):
        assert abs(other[name] - monotonic_s) < APART_S
    begin_s, end_s = (abs(other[f"clock_offset{at}_s"]) for at in ("", "_end"))
    assert abs(unix_s) < begin_s < end_s < abs(unix_s) + 20
    assert 0 < other["clock_uncertainty_s"] < APART_S


def check_iterations(run_dir: Path) -> None:
    """All ranks begin an iteration at once, behind a barrier, and end it so."""
    iterations: dict[str, list[dict[str, str]]] = {}
    for row in rows(run_dir / "samples.csv"):
        assert row["wrong_elements"] == "0"
        iterations.setdefault(row["iteration"], []).append(row)
    for ranks in iterations.values():
        assert len(ranks) == 4
        starts = [float(row["start_s"]) for row in ranks]
        assert max(starts) - min(starts) < APART_S
        for row in ranks:
            lasted_s = float(row["end_s"]) - float(row["start_s"])
            assert lasted_s == pytest.approx(float(row["time_s"]), rel=0.03, abs=0.02)


def check_samples(run_dir: Path) -> None:
    """Of the trace."""
    check_iterations(run_dir)
    asks, answers = (row for row in rows(run_dir / "samples.csv") if row["rank"] in ("0", "2"))
    for row in (asks, answers):
        assert COMPUTES_S <= float(row["compute_s"]) < COMPUTES_S + 2
        assert 2 * COMPUTES_S - APART_S < float(row["time_s"]) < 2 * COMPUTES_S + 5
        assert 0 < float(row["token_return_max_us"]) < 5e6
    # One waits for the answer while it computes; what the other waits for has come before.
    assert float(asks["overlapped_s"]) == pytest.approx(float(asks["compute_s"]), abs=0.5)
    assert float(answers["overlapped_s"]) < 0.5
    assert float(asks["end_s"]) == pytest.approx(float(answers["end_s"]), abs=APART_S + 0.3)


def check_operations(run_dir: Path) -> None:
    """What follows on another machine does, by the one clock, and soon."""
    done = {(row["rank"], row["name"]): row for row in rows(run_dir / "operations.csv")}
    chain = [
        ("0", "think"), ("0", "question"), ("2", "question"),
        ("2", "think"), ("2", "answer"), ("0", "answer"),
    ]  # fmt: skip
    ends = [float(done[each]["end_s"]) for each in chain]
    assert all(later - before > -APART_S for before, later in itertools.pairwise(ends)), ends
    assert 2 * COMPUTES_S - APART_S < ends[-1] < 2 * COMPUTES_S + 5
    assert float(done["2", "think"]["begin_s"]) - float(done["0", "question"]["begin_s"]) < 3


def check_what_was_measured_beside(run_dir: Path) -> None:
    """By the driver's clock: ledgers, the connections. By each machine's own: cores, processes, links."""
    samples = rows(run_dir / "samples.csv")
    began_s = min(float(row["start_s"]) for row in samples)
    ended_s = max(float(row["end_s"]) for row in samples)
    sampled = [float(row["time_s"]) for row in rows(run_dir / "tcp_info.csv")]
    assert began_s - 3 < min(sampled) < began_s + 1
    assert ended_s - 1 < max(sampled) < ended_s + 3
    far = [row for row in rows(run_dir / "tcp_info.csv") if row["rank"] == "2"]
    acked_s = [float(row["time_s"]) - began_s for row in far if int(row["bytes_acked"]) >= MESSAGE_BYTES]
    assert 2 * COMPUTES_S - APART_S < min(acked_s) < 2 * COMPUTES_S + 5, "rank 2 has answered once"
    check_ledger(run_dir, began_s, ended_s)
    timed_s = sum(float(row["end_s"]) - float(row["start_s"]) for row in samples if row["rank"] == "0")
    for row in rows(run_dir / "usage.csv"):
        assert float(row["timed_s"]) == pytest.approx(timed_s, rel=0.1)
        assert float(row["observed_s"]) > 0.9 * timed_s
        assert int(row["readings"]) > 10
    for row in rows(run_dir / "link_usage.csv"):
        assert float(row["timed_s"]) == pytest.approx(timed_s, rel=0.1)


def check_ledger(run_dir: Path, began_s: float, ended_s: float) -> None:
    """Payload came to each host when the other one had computed, and when that was by Unix time agrees."""
    for row in rows(run_dir / "ledger.csv"):
        begin_s, time_s = float(row["begin_s"]), float(row["time_s"])
        assert -1 < begin_s < ended_s - began_s + 3
        assert began_s - 3 < time_s < ended_s + 3
    came: dict[str, float] = {}
    for row in rows(run_dir / "ledger.csv"):
        if int(row["nic_wire_to_device_bytes"]) > MESSAGE_BYTES // 20:
            came.setdefault(row["host"], float(row["time_s"]) - began_s)
    assert came.keys() == {"h1", "h3"}
    assert COMPUTES_S - APART_S < came["h3"] < 2 * COMPUTES_S < came["h1"] + APART_S < 2 * COMPUTES_S + 5
