"""What operations did: rows that begin with an iteration's first node, traces that can be replayed."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from workloads.experiment.operations import OperationsFiles, as_done, from_the_first
from workloads.experiment.records import ExperimentConfig, Operation, SamplesError, Trial
from workloads.patterns.traffic import MessagesOptions
from workloads.trace import file
from workloads.trace.node import Compute, Program, SendTo


def operation(rank: int, node: int, begin_s: float, end_s: float, iteration: int = 0) -> Operation:
    return Operation("devmem", 8, 0, iteration, rank, node, "x", "send", 8, begin_s, end_s)


def test_seconds_begin_with_each_iterations_first_node_of_any_rank() -> None:
    found = from_the_first(
        [operation(1, 0, 101.0, 102.0), operation(0, 0, 100.0, 103.0), operation(0, 0, 200.5, 201.0, 1)]
    )
    assert [(each.iteration, each.rank, each.begin_s, each.end_s) for each in found] == [
        (0, 1, 1.0, 2.0), (0, 0, 0.0, 3.0), (1, 0, 0.0, 0.5),
    ]  # fmt: skip


def test_a_trace_has_the_last_iterations_times_and_computes_as_long() -> None:
    program = Program(0, 2)
    program.compute("step", 5.0)
    program.send("x", 1, 8)
    rows = [operation(0, node, 1.0, 2.0, 0) for node in (0, 1)]
    rows += [operation(0, 0, 0.0, 0.25, 1), operation(0, 1, 0.5, 0.75, 1)]
    (done,) = as_done([program.trace()], rows)
    step, sent = done.nodes
    assert isinstance(step, Compute)
    assert (step.began_us, step.took_us, step.duration_us) == (0.0, 250_000.0, 250_000.0)
    assert isinstance(sent, SendTo)
    assert (sent.began_us, sent.took_us, sent.peer) == (500_000.0, 250_000.0, 1)


def config(*sizes: int, keeps: bool = True) -> ExperimentConfig:
    own = MessagesOptions(messages=1, operations=keeps)
    return ExperimentConfig("star", 2, "incast", sizes, ("devmem",), own)


def test_a_directory_a_path_has_a_trace_and_a_timeline(tmp_path: Path) -> None:
    rows = [operation(0, 0, 5.0, 6.0), operation(1, 0, 5.5, 6.5)]
    with OperationsFiles(tmp_path, config(8)) as files:
        files.append(Trial("devmem", 8, 0), rows)
    receiver, sender = file.read(tmp_path / "trace" / "devmem")
    assert (receiver.nodes[0].began_us, sender.nodes[0].began_us) == (0.0, 500_000.0)
    events = msgspec.json.decode((tmp_path / "trace" / "devmem" / "timeline.json").read_bytes())
    assert sum(each["ph"] == "X" for each in events["traceEvents"]) == 2
    with open(tmp_path / "operations.csv", newline="") as read:
        written = list(csv.DictReader(read))
    assert list(written[0]) == list(Operation.__struct_fields__)
    assert [row["begin_s"] for row in written] == ["0.0", "0.5"]


def test_of_several_sizes_each_has_a_directory(tmp_path: Path) -> None:
    with OperationsFiles(tmp_path, config(8, 16)) as files:
        files.append(Trial("devmem", 16, 0), [operation(0, 0, 5.0, 6.0), operation(1, 0, 5.5, 6.5)])
    assert [each.name for each in (tmp_path / "trace").iterdir()] == ["devmem-16"]


def test_nothing_is_written_unless_it_was_asked_for(tmp_path: Path) -> None:
    with OperationsFiles(tmp_path, config(8, keeps=False)) as files:
        files.append(Trial("devmem", 8, 0), [])
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "trace").write_text("a file")
    with (
        OperationsFiles(tmp_path, config(8)) as files,
        pytest.raises(SamplesError, match="/trace/devmem cannot be"),
    ):
        files.append(Trial("devmem", 8, 0), [operation(0, 0, 5.0, 6.0), operation(1, 0, 5.5, 6.5)])
