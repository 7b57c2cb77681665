"""Traces that do not match, or that never end, are found on paper; times are those of the model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workloads.trace.check import TraceError
from workloads.trace.dry_run import Model, Outcome, dry_run
from workloads.trace.node import Compute, Program, SendTo, Trace

LINE = Model(latency_s=1e-3, s_per_byte=1e-6)


def outcomes(*writers: Callable[[Program], object], model: Model = LINE) -> list[Outcome]:
    """Each writes the trace of one rank."""
    traces = []
    for rank, write in enumerate(writers):
        program = Program(rank, len(writers))
        write(program)
        traces.append(program.trace())
    return dry_run(traces, model)


def test_a_message_takes_its_bytes_and_the_latency() -> None:
    sender, receiver = outcomes(lambda p: p.send("", 1, 500), lambda p: p.receive("", 0, 500))
    assert sender == Outcome(500e-6, 0.0, 500, 0)
    assert receiver.time_s == pytest.approx(1.5e-3)


def test_messages_take_turns_on_the_senders_and_on_the_receivers_line() -> None:
    def one(program: Program) -> None:
        for peer in (1, 2):
            if program.rank == 0:
                program.send("", peer, 1000)
                program.receive("", peer, 500)
        if program.rank:
            program.receive("", 0, 1000)
            program.send("", 0, 500)

    found = outcomes(one, one, one)
    # Rank 0 sends for 1 ms each; what both others send at once comes one after the other.
    assert [each.time_s for each in found] == pytest.approx([2e-3, 2e-3, 3e-3])


def test_lines_are_taken_in_the_order_of_time_and_not_of_ranks() -> None:
    def late(program: Program) -> None:
        program.send("", 2, 1000, program.compute("", 500))

    def soon(program: Program) -> None:
        program.send("", 2, 1000)

    def both(program: Program) -> None:
        program.compute("", 0, program.receive("", 1, 1000))
        program.receive("", 0, 1000)

    trace = outcomes(late, soon, both)
    assert [each.time_s for each in trace] == pytest.approx([1.5e-3, 1e-3, 3e-3])
    assert outcomes(late, soon, lambda p: (p.receive("", 1, 1000), p.receive("", 0, 1000)))[2].time_s == (
        pytest.approx(3e-3)
    )


def test_computing_overlaps_with_what_does_not_depend_on_it() -> None:
    def both(program: Program) -> None:
        program.compute("free", 10_000)
        program.send("", 1 - program.rank, 2000)
        program.receive("", 1 - program.rank, 2000)

    assert {each.time_s for each in outcomes(both, both)} == {0.010}
    assert {each.compute_s for each in outcomes(both, both)} == {0.010}


def test_what_depends_on_a_message_waits_for_it() -> None:
    def first(program: Program) -> None:
        done = program.compute("", 4000)
        program.send("", 1, 1000, done)

    def second(program: Program) -> None:
        program.compute("", 2000, program.receive("", 0, 1000))

    assert [each.time_s for each in outcomes(first, second)] == pytest.approx([5e-3, 8e-3])


def test_a_collective_begins_when_its_last_rank_has_come() -> None:
    def late(program: Program) -> None:
        program.collective("", "all_reduce", 1200, program.compute("", 1000 * program.rank))

    found = outcomes(late, late, late)
    # Two phases of two steps each, and 4/3 of the array.
    assert {round(each.time_s, 9) for each in found} == {round(2e-3 + 4e-3 + 1600e-6, 9)}
    assert {each.collective_bytes for each in found} == {1200}


def test_collectives_of_groups_do_not_wait_for_each_other() -> None:
    def paired(program: Program) -> None:
        pair = (0, 1) if program.rank < 2 else (2, 3)
        program.collective("", "barrier", 4, program.compute("", 1000 * pair[0]), ranks=pair)

    assert [each.time_s for each in outcomes(*[paired] * 4)] == pytest.approx([1e-3, 1e-3, 3e-3, 3e-3])


@pytest.mark.parametrize(
    ("writers", "sentence"),
    [
        (
            (lambda p: p.send("x", 1, 8), lambda p: p.receive("y", 0, 9)),
            r"rank 1, node 0 \(y\) expects 9 bytes, and rank 0's node 0 sends 8",
        ),
        ((lambda p: p.send("x", 1, 8), lambda _: None), r"rank 0, node 0 \(x\) is never received"),
        (
            (lambda _: None, lambda p: p.receive("y", 0, 9)),
            r"rank 1, node 0 \(y\) never ends: rank 0 has no send for it",
        ),
        (
            (
                lambda p: p.send("x", 1, 8, p.receive("y", 1, 8)),
                lambda p: p.send("x", 0, 8, p.receive("y", 0, 8)),
            ),
            r"rank 0, node 0 \(y\) never ends: rank 1 cannot come to its node 1, the send",
        ),
        (
            (lambda p: p.collective("c", "all_reduce", 8), lambda p: p.collective("c", "all_reduce", 12)),
            r"rank 0, node 0 \(c\) has bytes 8, and rank 1's node 0 has 12",
        ),
        (
            (lambda p: p.collective("c", "all_reduce", 8), lambda p: p.collective("d", "all_gather", 8)),
            "has collective all_reduce, and rank 1's node 0 has all_gather",
        ),
        (
            (lambda p: p.collective("c", "barrier", 4), lambda _: None),
            r"rank 0, node 0 \(c\) never ends: rank 1 does not come to it",
        ),
        (
            (lambda p: p.collective("c", "gossip", 4), lambda p: p.collective("c", "gossip", 4)),
            "there is no collective 'gossip'",
        ),
        ((lambda p: p.collective("c", "barrier", 4, ranks=(1,)), lambda _: None), "rank 0 is none of them"),
        ((lambda p: p.collective("c", "reduce", 4, root=2), lambda _: None), "root 2, and 2 ranks take part"),
        ((lambda p: p.send("x", 2, 8), lambda _: None), "names rank 2, which is not another of 2 ranks"),
        ((lambda p: p.send("x", 0, 8), lambda _: None), "names rank 0, which is not another of 2 ranks"),
    ],
)  # fmt: skip
def test_traces_that_cannot_be_replayed_are_refused_by_rank_and_node(
    writers: tuple[Callable[[Program], object], ...], sentence: str
) -> None:
    with pytest.raises(TraceError, match=sentence):
        outcomes(*writers)


def test_groups_that_wait_for_each_other_in_a_circle_are_found() -> None:
    def crossed(program: Program) -> None:
        groups = {0: [(0, 1), (0, 2)], 1: [(1, 2), (0, 1)], 2: [(0, 2), (1, 2)]}[program.rank]
        for group in groups:
            program.collective("", "barrier", 4, ranks=group)

    with pytest.raises(TraceError, match="rank 0, node 0 never ends: rank 1 does not come to it"):
        outcomes(crossed, crossed, crossed)


@pytest.mark.parametrize(
    ("nodes", "sentence"),
    [
        (
            (Compute(id=3, duration_us=1), Compute(id=3, duration_us=1)),
            "node 3 has an id that another node has",
        ),
        ((Compute(id=0, duration_us=1, deps=(1,)),), "depends on node 1, which is not before it"),
    ],
)
def test_a_trace_that_is_none_in_itself_is_refused(nodes: tuple[Compute, ...], sentence: str) -> None:
    with pytest.raises(TraceError, match=sentence):
        dry_run([Trace(rank=0, nranks=1, nodes=nodes)])


def test_traces_of_other_numbers_of_ranks_are_refused() -> None:
    send = SendTo(id=0, peer=1, bytes=1)
    with pytest.raises(TraceError, match="rank 0's trace is of 3 ranks, and 1 are there"):
        dry_run([Trace(rank=0, nranks=3, nodes=(send,))])
