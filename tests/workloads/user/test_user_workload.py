"""Users' functions over loopback: what they move is right, what does not go together ends in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.workloads.loopback import LoopbackHost
from tests.workloads.ring import Ring
from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankFailure, Sample
from workloads.registry import workload_of
from workloads.user import workload as user
from workloads.workload import WorkloadError

SIZE = 10_000
SOURCE = """\
import time

import numpy as np

def exchange(rank):
    tickets = [rank.send(peer, 0, rank.size) for peer in rank.peers]
    rank.compute(0.02)
    for peer in rank.peers:
        rank.receive(peer, (1 + peer) * rank.size, rank.size)
        rank.check((1 + peer) * rank.size, rank.input(peer))
    for ticket in tickets:
        rank.wait(ticket)
    rank.fill(0, np.zeros(4, np.uint8))

def summed(rank):
    own = np.arange(rank.size // 4, dtype=np.float32) + rank.rank
    rank.fill(rank.size, own)
    rank.fill(2 * rank.size, own)
    for peer in rank.peers:
        rank.send(peer, rank.size, rank.size)
        rank.reduce(peer, 2 * rank.size, rank.size)
    rank.check(2 * rank.size, 3 * np.arange(rank.size // 4, dtype=np.float32) + 3)

def wrong(rank):
    expected = rank.input(rank.rank)
    expected[5:8] += 1
    rank.check(0, expected)

def meets(rank):
    for turn in range(3):
        if rank.rank == turn:
            rank.compute(0.05)
        rank.barrier()

def more(rank):
    if rank.rank == 0:
        rank.send(1, 0, 200)
    if rank.rank == 1:
        rank.receive(0, 0, 100)

def fewer(rank):
    if rank.rank == 1:
        rank.receive(0, 0, 100)

def endless(rank):
    for turn in range(250):
        time.sleep(0.01 * rank.rank)

def breaks(rank):
    if rank.rank == 1:
        raise ValueError("mine")

def outside(rank):
    rank.send(rank.peers[0], rank.data_bytes - 3, 4)

def nobody(rank):
    rank.receive(7, 0, 4)

def empty(rank):
    rank.send(rank.peers[0], 0, 0)

def halves(rank):
    rank.reduce(rank.peers[0], 0, 6)

def half(rank):
    rank.send(rank.peers[0], 0, 10.0)

def oddly(rank):
    rank.reduce(rank.peers[0], 0, 8, op="xor")

def ring(program):
    computed = program.compute("step", 1000)
    program.send("next", (program.rank + 1) % program.nranks, program.size, computed)
    program.receive("previous", (program.rank - 1) % program.nranks, program.size)

def negative(program):
    program.compute("x", -5)

def nameless(program):
    program.send("x", "one", 10)

def array(program):
    program.send("x", np.int64(1 - program.rank), np.uint32(10))
    program.receive("x", 1 - program.rank, 10)

def lonely(program):
    program.receive("x", (program.rank + 1) % program.nranks, program.size)
"""


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("workloads.machine.Host", LoopbackHost)
    (tmp_path / "mine.py").write_text(SOURCE)


def config(
    directory: Path, name: str, hosts: int = 3, size: int = SIZE, check: bool = True, timeout_s: float = 5.0
) -> ExperimentConfig:
    kind, file = user.named(f"{directory}/mine.py:{name}")
    own = kind.options(iterations=1, warmup=1, no_check=not check, file=file)
    return ExperimentConfig("star", hosts, kind.name, (size,), ("bounce",), own, timeout_s=timeout_s)


def rows(asked: ExperimentConfig) -> list[Sample]:
    workload_of(asked).check(asked)
    ranks = Ring(asked)
    ranks.connect()
    try:
        return ranks.run()
    finally:
        ranks.each(lambda rank: rank.close())


def failure(asked: ExperimentConfig) -> str:
    """The first rank's that fails, as a run tells it."""
    ranks = Ring(asked)
    ranks.connect()
    said: list[str] = []

    def run(rank: Rank) -> None:
        try:
            rank.run()
        except RankFailure as reason:
            said.append(str(reason))

    ranks.each(run)
    ranks.each(lambda rank: rank.close())
    return said[0]


def test_what_every_rank_sends_to_every_other_arrives(tmp_path: Path) -> None:
    found = rows(config(tmp_path, "exchange"))
    assert len(found) == 3 * 2
    for row in found:
        assert (row.workload, row.wrong_elements, row.checked_bytes) == ("mine.py:exchange", 0, 2 * SIZE)
        assert row.payload_sent_bytes == row.payload_received_bytes
        assert 2 * SIZE <= row.payload_sent_bytes <= 2 * SIZE + 100
        assert row.payload_staged_bytes == 2 * row.payload_sent_bytes
        assert row.compute_s is not None
        assert 0.02 <= row.compute_s <= row.time_s


def test_what_comes_is_reduced_with_what_is_there(tmp_path: Path) -> None:
    assert {row.wrong_elements for row in rows(config(tmp_path, "summed"))} == {0}


def test_wrong_elements_are_counted_unless_nothing_is_to_be_compared(tmp_path: Path) -> None:
    assert {row.wrong_elements for row in rows(config(tmp_path, "wrong"))} == {3}
    assert {row.wrong_elements for row in rows(config(tmp_path, "wrong", check=False))} == {None}


def test_no_rank_leaves_a_barrier_before_all_have_come(tmp_path: Path) -> None:
    for row in rows(config(tmp_path, "meets")):
        assert row.time_s >= 3 * 0.05
        assert row.compute_s is not None
        assert row.compute_s < 0.1


RANK_1 = "rank 1 on host h2, path bounce, failed while running iteration 0"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("more", f"{RANK_1} (agreement with rank 0 about what was sent): rank 0 has sent another number "
         "of bytes to rank 1 than the 100 that were received; let both name the same lengths"),
        ("fewer", f"{RANK_1} (receive of 100 bytes from rank 0, LINE of mine.py:fewer): nothing has moved"),
        ("endless", f"{RANK_1} (LINE of mine.py:endless): nothing has moved for 1 s"),
        ("breaks", "mine.py LINE: ValueError: mine"),
        ("outside", "LINE: 4 bytes from byte 29997 on are not within the 30000 bytes of data memory"),
        ("nobody", "LINE: rank 7 is none of the others, which are"),
        ("empty", "LINE: 0 bytes from byte 0 on are not within the 30000 bytes of data memory"),
        ("halves", "LINE: 6 bytes are no whole elements of float32; round them"),
        ("half", "LINE: there is no offset 0 and length 10.0 in bytes; both are whole numbers"),
        ("oddly", "LINE: there is no 'xor' of 'float32'; choose from sum, prod"),
    ],
)  # fmt: skip
def test_what_cannot_be_ends_in_a_sentence_with_its_line(name: str, sentence: str, tmp_path: Path) -> None:
    """Each of these functions has its fault in its last line."""
    before, _, after = SOURCE.partition(f"def {name}(")
    line = before.count("\n") + after.partition("\n\n")[0].count("\n") + 1
    assert sentence.replace("LINE", f"line {line}") in failure(config(tmp_path, name, hosts=2, timeout_s=1.0))


def test_a_program_is_done_as_a_trace(tmp_path: Path) -> None:
    found = rows(config(tmp_path, "ring"))
    assert {row.wrong_elements for row in found} == {0}
    assert {(row.size_bytes, row.payload_sent_bytes) for row in found} == {(SIZE, SIZE)}
    assert "compute" in workload_of(config(tmp_path, "ring")).measure(config(tmp_path, "ring")).columns


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("negative", "ValueError: there is no such compute: Expected `float` >= 0.0 - at `$.duration_us`"),
        ("nameless", "ValueError: there is no such send: Expected `int`, got `str` - at `$.peer`"),
    ],
)
def test_a_program_writes_what_a_trace_may_have(name: str, sentence: str, tmp_path: Path) -> None:
    asked = config(tmp_path, name)
    line = SOURCE.partition(f"def {name}(")[0].count("\n") + 2
    with pytest.raises(WorkloadError, match=f"^{re.escape(f'mine.py line {line}: {sentence}')}$"):
        workload_of(asked).check(asked)


def test_a_program_may_count_with_numpy(tmp_path: Path) -> None:
    assert {row.payload_sent_bytes for row in rows(config(tmp_path, "array", hosts=2))} == {10}


def test_a_program_that_never_ends_is_refused_before_anything_starts(tmp_path: Path) -> None:
    asked = config(tmp_path, "lonely")
    with pytest.raises(WorkloadError, match=r"rank 0, node 0 \(x\) never ends: rank 1 has no send for it"):
        workload_of(asked).check(asked)


@pytest.mark.parametrize("name", ["ring", "exchange"])
def test_no_bytes_are_refused(name: str, tmp_path: Path) -> None:
    asked = config(tmp_path, name, size=0)
    with pytest.raises(WorkloadError, match="choose a --size above 0"):
        workload_of(asked).check(asked)
