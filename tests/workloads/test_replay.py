"""What a trace's files say is done over loopback, and checked; what does not fit is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workloads.loopback import LoopbackHost
from tests.workloads.ring import Ring
from workloads.experiment.operations import as_done
from workloads.experiment.records import ExperimentConfig, Sample
from workloads.registry import WORKLOADS
from workloads.replay import REPLAY, ReplayOptions
from workloads.trace import file
from workloads.trace.node import Program, Trace
from workloads.workload import WorkloadError


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)


def traces(nranks: int = 3, compute_us: float = 20_000.0) -> list[Trace]:
    made = []
    for rank in range(nranks):
        program = Program(rank, nranks)
        computed = program.compute("step", compute_us)
        program.send("next", (rank + 1) % nranks, 5_003, computed)
        came = program.receive("previous", (rank - 1) % nranks, 5_003)
        program.collective("sum", "all_reduce", 4_004, came, dtype="bfloat16", redop="avg")
        if rank < 2:
            program.collective("some", "all_gather", 408, ranks=(1, 0))
        program.collective("nothing", "all_reduce", 0)
        made.append(program.trace())
    return made


def asked(directory: Path, hosts: int = 3, sizes: tuple[int, ...] = (0,), **more: Any) -> ExperimentConfig:
    own = ReplayOptions(trace_dir=str(directory), iterations=2, warmup=1, **more)
    return ExperimentConfig("star", hosts, "replay", sizes, ("bounce",), own, timeout_s=5.0)


def replayed(config: ExperimentConfig) -> tuple[list[Sample], Ring]:
    WORKLOADS["replay"].check(config)
    ranks = Ring(config)
    ranks.connect()
    rows = ranks.run()
    ranks.each(lambda rank: rank.close())
    return rows, ranks


def test_every_node_is_done_and_every_byte_is_checked(tmp_path: Path) -> None:
    file.write(tmp_path, traces())
    rows, _ = replayed(asked(tmp_path))
    assert {row.wrong_elements for row in rows} == {0}
    assert {row.checked_bytes for row in rows} == {5_003 + 4_004 + 408, 5_003 + 4_004}
    for row in rows:
        assert row.compute_s is not None
        assert 0.02 <= row.compute_s <= row.time_s


def test_a_time_scale_makes_computations_shorter(tmp_path: Path) -> None:
    file.write(tmp_path, traces())
    rows, _ = replayed(asked(tmp_path, time_scale=0.1))
    assert all(row.compute_s is not None and 0.002 <= row.compute_s < 0.02 for row in rows)


def test_what_was_done_can_be_kept_and_replayed(tmp_path: Path) -> None:
    written = traces()
    file.write(tmp_path / "first", written)
    _, ranks = replayed(asked(tmp_path / "first", operations=True))
    operations = [each for rank in ranks.ranks for each in rank.operations()]
    assert {each.iteration for each in operations} == {1, 2}, "no warm-up"
    assert len(operations) == 2 * sum(len(trace.nodes) for trace in written)
    for each in operations:
        assert each.end_s >= each.begin_s
    file.write(tmp_path / "second", as_done(written, operations))
    assert {row.wrong_elements for row in replayed(asked(tmp_path / "second"))[0]} == {0}


def test_nothing_is_kept_unless_it_was_asked_for(tmp_path: Path) -> None:
    file.write(tmp_path, traces())
    _, ranks = replayed(asked(tmp_path))
    assert [rank.operations() for rank in ranks.ranks] == [[], [], []]


def refused(config: ExperimentConfig) -> str:
    with pytest.raises(WorkloadError) as reason:
        WORKLOADS["replay"].check(config)
    return str(reason.value)


def test_what_does_not_fit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file.write(tmp_path, traces())
    assert refused(asked(tmp_path, hosts=4)) == (
        f"the trace in {tmp_path} is of 3 ranks, and there are 4; ask for 3 hosts"
    )
    assert "replay has no --size" in refused(asked(tmp_path, sizes=(64,)))
    assert "rank0.jsonl cannot be read" in refused(asked(tmp_path / "none"))
    nowhere = ExperimentConfig("star", 3, "replay", (0,), ("bounce",), ReplayOptions())
    assert refused(nowhere) == "replay needs a trace; name its directory with --trace-dir"
    lost = traces()[:2]
    program = Program(2, 3)
    program.receive("previous", 1, 5_003)
    program.send("next", 0, 9)
    file.write(tmp_path, [*lost, program.trace()])
    assert refused(asked(tmp_path)).startswith(
        "rank 0, node 2 (previous) expects 5003 bytes, and rank 2's node 1 sends 9"
    )


def test_the_table_has_the_columns_that_go_with_the_nodes(tmp_path: Path) -> None:
    file.write(tmp_path / "step", traces())
    assert {"compute", "exposed"} <= set(REPLAY.measure(asked(tmp_path / "step")).columns)
    called = []
    for rank in range(2):
        program = Program(rank, 2)
        if rank == 0:
            program.completion("x", 1, 8, tag=0)
        else:
            program.send("x", 0, 8)
        called.append(program.trace())
    file.write(tmp_path / "calls", called)
    columns = REPLAY.measure(asked(tmp_path / "calls", hosts=2)).columns
    assert "p99" in columns
    assert "compute" not in columns
