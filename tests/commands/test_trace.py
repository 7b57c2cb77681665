"""The command trace: what it writes, what it says of it, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.test_command_line import Main, refusal
from tests.commands.test_command_line import main as main
from tests.workloads.trace.test_chakra import SEND, node, traces
from workloads.trace import file
from workloads.trace.node import Program


def test_a_pattern_is_written_checked_and_predicted(main: Main, tmp_path: Path) -> None:
    where = str(tmp_path / "t")
    words = ("--write", "incast", "--ranks", "3", "--size", "1M", "--messages", "2")
    status, out, _ = main("trace", where, *words, "--latency", "1ms", "--rate", "1GB/s")
    assert status == 0
    sent = 2 << 20
    assert [line.split() for line in out.splitlines()] == [
        ["rank", "nodes", "compute_s", "message_B", "collective_B", "predicted_s"],
        ["0", "4", "0.000000", "0", "0", "0.005194"],
        ["1", "2", "0.000000", str(sent), "0", "0.002097"],
        ["2", "2", "0.000000", str(sent), "0", "0.002097"],
        ["all", "8", "0.000000", str(2 * sent), "0", "0.005194"],
    ]
    assert main("trace", where, "--latency", "1ms", "--rate", "1GB/s")[:2] == (0, out)
    assert len(file.read(tmp_path / "t")) == 3
    assert refusal(main("trace", where, *words)) == (
        f"run.py: {where} has a trace already; choose another directory, or remove it\n"
    )


def test_a_time_scale_is_of_computations(main: Main, tmp_path: Path) -> None:
    program = Program(0, 1)
    program.compute("step", 2e6)
    file.write(tmp_path, [program.trace()])
    _, out, _ = main("trace", str(tmp_path), "--time-scale", "0.25")
    assert out.splitlines()[1].split() == ["0", "1", "0.500000", "0", "0", "0.500000"]


def test_a_users_program_is_written_with_its_size(main: Main, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def f(program):\n    program.collective('', 'barrier', program.size)\n\ndef acts(rank):\n    pass\n"
    )
    assert main("trace", str(tmp_path / "t"), "--write", f"{tmp_path}/mine.py:f", "--size", "64")[0] == 0
    (trace, *others) = file.read(tmp_path / "t")
    assert (len(others), trace.nodes[0]) == (3, others[0].nodes[0])
    assert main("trace", str(tmp_path / "t"))[1].splitlines()[-1].split()[4] == "256"
    said = refusal(main("trace", str(tmp_path / "u"), "--write", f"{tmp_path}/mine.py:acts"))
    assert said.endswith("mine.py:acts: it acts and writes no trace; let it take (program)\n")


def test_traces_that_do_not_go_together_end_with_1_and_a_sentence(main: Main, tmp_path: Path) -> None:
    alone, other = Program(0, 2), Program(1, 2)
    alone.send("x", 1, 10)
    file.write(tmp_path, [alone.trace(), other.trace()])
    assert main("trace", str(tmp_path)) == (
        1, "", "run.py: rank 0, node 0 (x) is never received: rank 1 has no node for it\n",
    )  # fmt: skip
    status, _, said = main("trace", str(tmp_path / "none"))
    assert (status, "rank0.jsonl cannot be read (No such file" in said) == (1, True)
    status, _, said = main("trace", str(tmp_path / "none"), "--chakra", str(tmp_path / "none"))
    assert (status, "/none.0.et; a Chakra trace has" in said) == (1, True)
    assert not (tmp_path / "none").exists()


def test_an_import_that_does_not_go_together_leaves_nothing(main: Main, tmp_path: Path) -> None:
    traces(tmp_path, [node(1, SEND, comm_dst=1, comm_size=9)], [])
    status, out, said = main("trace", str(tmp_path / "t"), "--chakra", str(tmp_path / "t"))
    assert (status, out) == (1, "")
    assert said == "run.py: rank 0, node 0 (n1) is never received: rank 1 has no node for it\n"
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--write", "rpc", "--chakra", "x"], "--write and --chakra make a trace each; leave one out"),
        (["--write", "stream"], "there is no pattern 'stream'; choose from data_parallel, fsdp"),
        (["--write", "rpc", "--layers", "2"], "--layers does not go with rpc: it is an option of data_paral"),
        (["--layers", "2"], "--layers does not go with trace: it is an option of data_parallel"),
        (["--write", "rpc", "--ranks", "1"], "--write rpc: rpc needs 2 ranks, and there are 1"),
        (["--write", "fsdp", "--size", "4"], "--write fsdp: fsdp has no --size"),
        (["--write", "none.py:f"], "none.py; correct the name"),
        (["--latency", "1"], "time '1' is not understood"),
        (["--iters", "2"], "No such option: --iters"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    words: list[str], sentence: str, main: Main, tmp_path: Path
) -> None:
    assert sentence in refusal(main("trace", str(tmp_path / "t"), *words))
    assert not (tmp_path / "t").exists()
