"""Ring schedules against a model in which every element is the set of ranks that it sums up."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, strategies

from tests.workloads.schedule_model import Memory, Model
from workloads.schedules import Chunk, Step, chunks, ring_all_reduce

ELEMENT = 4


def simulate(nranks: int, count: int) -> list[Memory]:
    """Run all ranks' schedules; the model raises on deadlock and on what is never received."""
    plans = [ring_all_reduce(rank, nranks, count * ELEMENT, ELEMENT) for rank in range(nranks)]
    return Model(plans, count, ELEMENT).run()


def sent(step: Step) -> Chunk:
    assert step.send is not None
    return step.send.chunk


def received(step: Step) -> Chunk:
    assert step.receive is not None
    return step.receive.chunk


@pytest.mark.parametrize("nranks", range(1, 10))
@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 9, 64, 1001])
def test_every_rank_ends_with_every_contribution_exactly_once(nranks: int, count: int) -> None:
    whole = Counter(range(nranks))
    assert all(element == whole for memory in simulate(nranks, count) for element in memory)


@pytest.mark.parametrize("nranks", range(2, 10))
def test_a_rank_sends_to_the_next_rank_only_and_receives_from_the_one_before(nranks: int) -> None:
    for rank in range(nranks):
        for step in ring_all_reduce(rank, nranks, 8 * ELEMENT, ELEMENT):
            assert step.send is not None
            assert step.receive is not None
            assert (step.send.peer, step.receive.peer) == ((rank + 1) % nranks, (rank - 1) % nranks)


@given(strategies.integers(1, 9), strategies.integers(0, 300))
def test_a_rank_sends_and_receives_two_times_n_minus_one_chunks(nranks: int, count: int) -> None:
    plans = [ring_all_reduce(rank, nranks, count * ELEMENT, ELEMENT) for rank in range(nranks)]
    assert {len(plan) for plan in plans} == {2 * (nranks - 1)}
    total = sum(sent(step).length for plan in plans for step in plan)
    assert total == 2 * (nranks - 1) * count * ELEMENT


@given(strategies.integers(2, 9), strategies.integers(0, 300), strategies.data())
def test_overwrites_names_the_only_earlier_send_of_the_same_bytes(
    nranks: int, count: int, data: strategies.DataObject
) -> None:
    plan = ring_all_reduce(data.draw(strategies.integers(0, nranks - 1)), nranks, count * ELEMENT, ELEMENT)
    for number, step in enumerate(plan):
        overlapping = [
            earlier
            for earlier in range(number + 1)
            if sent(plan[earlier]).offset < received(step).offset + received(step).length
            and received(step).offset < sent(plan[earlier]).offset + sent(plan[earlier]).length
        ]
        if received(step).length:
            assert overlapping == list(step.overwrites)


@given(strategies.integers(0, 10_000), strategies.integers(1, 40))
def test_chunks_are_consecutive_even_and_on_element_boundaries(count: int, parts: int) -> None:
    spans = chunks(count * ELEMENT, parts, ELEMENT)
    assert len(spans) == parts
    assert spans[0].offset == 0
    assert all(a.offset + a.length == b.offset for a, b in itertools.pairwise(spans))
    assert spans[-1].offset + spans[-1].length == count * ELEMENT
    lengths = [span.length for span in spans]
    assert max(lengths) - min(lengths) <= ELEMENT


def test_bytes_that_are_no_whole_elements_are_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes are not a whole number of elements of 4 bytes"):
        chunks(10, 2, ELEMENT)
