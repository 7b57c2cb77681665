"""Ring schedules against a simulation in which every element is the set of ranks that it sums up."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, strategies

from workloads.schedules import Span, Step, chunks, ring_all_reduce

ELEMENT = 4
Element = Counter[int]


def simulate(nranks: int, count: int) -> list[list[Element]]:
    """Run all ranks' schedules in lockstep; element i of rank r starts as {r: 1}."""
    memory = [[Counter({rank: 1}) for _ in range(count)] for rank in range(nranks)]
    plans = [ring_all_reduce(rank, nranks, count * ELEMENT, ELEMENT) for rank in range(nranks)]
    for turn in range(len(plans[0])):
        steps = [plan[turn] for plan in plans]
        flying = [_cut(memory[rank], step.send) for rank, step in enumerate(steps)]
        for rank, step in enumerate(steps):
            _receive(memory[rank], step, flying[rank - 1])
    return memory


def _cut(memory: list[Element], span: Span) -> list[Element]:
    return [element.copy() for element in memory[_slice(span)]]


def _slice(span: Span) -> slice:
    assert span.offset % ELEMENT == span.length % ELEMENT == 0
    return slice(span.offset // ELEMENT, (span.offset + span.length) // ELEMENT)


def _receive(memory: list[Element], step: Step, arrived: list[Element]) -> None:
    there = memory[_slice(step.receive)]
    assert len(there) == len(arrived), "what one rank sends is what the next expects"
    merged = [old + new for old, new in zip(there, arrived, strict=True)] if step.reduces else arrived
    memory[_slice(step.receive)] = merged


@pytest.mark.parametrize("nranks", range(1, 10))
@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 9, 64, 1001])
def test_every_rank_ends_with_every_contribution_exactly_once(nranks: int, count: int) -> None:
    whole = Counter(range(nranks))
    assert all(element == whole for memory in simulate(nranks, count) for element in memory)


@given(strategies.integers(1, 9), strategies.integers(0, 300))
def test_a_rank_sends_and_receives_two_times_n_minus_one_chunks(nranks: int, count: int) -> None:
    plans = [ring_all_reduce(rank, nranks, count * ELEMENT, ELEMENT) for rank in range(nranks)]
    assert {len(plan) for plan in plans} == {2 * (nranks - 1)}
    sent = sum(step.send.length for plan in plans for step in plan)
    assert sent == 2 * (nranks - 1) * count * ELEMENT


@given(strategies.integers(2, 9), strategies.integers(0, 300), strategies.data())
def test_overwrites_names_the_only_earlier_send_of_the_same_bytes(
    nranks: int, count: int, data: strategies.DataObject
) -> None:
    plan = ring_all_reduce(data.draw(strategies.integers(0, nranks - 1)), nranks, count * ELEMENT, ELEMENT)
    for number, step in enumerate(plan):
        overlapping = [
            earlier
            for earlier in range(number + 1)
            if plan[earlier].send.offset < step.receive.offset + step.receive.length
            and step.receive.offset < plan[earlier].send.offset + plan[earlier].send.length
        ]
        if step.receive.length:
            assert overlapping == ([] if step.overwrites is None else [step.overwrites])


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
