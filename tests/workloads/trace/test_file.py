"""What is written is read; what is no trace is refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from workloads.trace import file
from workloads.trace.check import TraceError
from workloads.trace.node import Program, Trace


def traces() -> list[Trace]:
    made = []
    for rank in range(2):
        program = Program(rank, 2)
        ready = program.compute("forward", 12.5)
        program.collective("bucket", "all_reduce", 4096, ready, dtype="bfloat16", redop="avg", ranks=(1, 0))
        program.send("x", 1 - rank, 10, ready, tag=7)
        program.receive("y", 1 - rank, 10)
        made.append(program.trace())
    return made


def test_what_is_written_is_read(tmp_path: Path) -> None:
    paths = file.write(tmp_path / "trace", traces())
    assert [path.name for path in paths] == ["rank0.jsonl", "rank1.jsonl"]
    assert file.read(tmp_path / "trace") == traces()
    first = paths[0].read_text().splitlines()[0]
    assert first == '{"format":"devmem-testbed-trace","version":1,"rank":0,"nranks":2}'


@pytest.mark.parametrize(
    ("line", "text", "sentence"),
    [
        (0, "{}", "rank0.jsonl line 1 is no header: Object missing required field `version`"),
        (0, '{"format":"x","version":1,"rank":0,"nranks":2}', r"line 1 is no header: Invalid enum value 'x'"),
        (0, '{"version":2,"rank":0,"nranks":2}', "has version 2; version 1 is understood"),
        (0, '{"version":1,"rank":1,"nranks":2}', "is of rank 1 of 2, and its name is of rank 0"),
        (2, '{"kind":"nap","id":3}', "rank0.jsonl line 3 is no node: Invalid value 'nap'"),
        (2, '{"kind":"compute","id":3,"duration_us":-1}', r"line 3 is no node: .*>= 0"),
        (2, '{"kind":"compute","id":3,"duration_us":1,"depz":[0]}', "no node: .*unknown field `depz`"),
        (2, "not JSON", "line 3 is no node: JSON is malformed"),
    ],
)
def test_what_is_no_trace_is_refused_by_file_and_line(
    tmp_path: Path, line: int, text: str, sentence: str
) -> None:
    (path, _) = file.write(tmp_path, traces())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:line], text, *lines[line + 1 :]]))
    with pytest.raises(TraceError, match=sentence):
        file.read(tmp_path)


def test_a_missing_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"rank0.jsonl cannot be read .*; a trace has a file for each rank"):
        file.read(tmp_path)
    (tmp_path / "rank0.jsonl").write_text("")
    with pytest.raises(TraceError, match=r"rank0.jsonl is empty"):
        file.read(tmp_path)
