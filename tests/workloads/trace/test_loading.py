"""What computations that are fed with data waited for it, from spans that are known."""

from __future__ import annotations

import pytest

from workloads.patterns.serving import IngestOptions, ingest
from workloads.trace.loading import Loading, loading
from workloads.trace.node import Compute, Program, ReceiveFrom
from workloads.trace.streams import Span


def spans(come: list[float], step_s: float) -> tuple[Loading | None, float]:
    """Of a trainer whose batches are there at these seconds; and when its last step has ended."""
    trace = ingest(0, 2, 1000, IngestOptions(steps=len(come), compute_ms=step_s * 1000, depth=2), seed=1)
    found: dict[int, Span] = {}
    there, free_s = iter(come), 10.0
    for node in trace.nodes:
        if isinstance(node, ReceiveFrom):
            found[node.id] = Span(10.0, 10.0 + next(there))
        elif isinstance(node, Compute):
            begin_s = max(free_s, *(found[dep].end_s for dep in node.deps))
            found[node.id] = Span(begin_s, free_s := begin_s + step_s)
        else:
            found[node.id] = Span(10.0, 10.0)
    return loading(trace, found, 10.0), free_s


@pytest.mark.parametrize(
    ("come", "stalled_s"),
    [
        ([3, 3, 3, 3], 0.0),  # all there before they are needed
        ([3, 6, 9, 12], 3.0),  # a step takes 2, a batch 3: each of the later steps waits for 1
        ([3, 5, 7, 9], 0.0),  # just in time
        ([3, 4, 9, 10], 2.0),  # one is late, and the step behind it finds its batch
        ([3, 8, 8, 8], 3.0),
    ],
)
def test_setup_ends_with_the_first_batch_and_stalls_are_those_behind(
    come: list[float], stalled_s: float
) -> None:
    found, end_s = spans(come, 2.0)
    assert found == pytest.approx(Loading(3.0, stalled_s))
    assert end_s - 10 == pytest.approx(3 + 4 * 2 + stalled_s), "set-up, steps and stalls are all there is"


def test_what_a_step_waits_for_beside_its_batch_is_no_stall() -> None:
    program = Program(0, 2)
    first = program.batch("first", 1, 10, tag=0)
    step = program.compute("step", 1.0, first)
    second = program.batch("second", 1, 10, tag=1)
    gradients = program.receive("gradients", 1, 10, step)
    program.compute("step", 1.0, second, gradients)
    came = {first: 1.0, second: 5.0, gradients: 4.0}
    found = {id_: Span(0.0, end_s) for id_, end_s in came.items()}
    found |= {step: Span(1.0, 2.0), 4: Span(5.0, 6.0)}
    assert loading(program.trace(), found, 0.0) == Loading(1.0, 1.0)


def test_a_storage_host_and_a_worker_without_batches_have_neither() -> None:
    storage = ingest(1, 2, 1000, IngestOptions(steps=2), seed=1)
    assert loading(storage, {node.id: Span(0.0, 1.0) for node in storage.nodes}, 0.0) is None
    program = Program(0, 2)
    program.compute("step", 1.0, program.receive("parameters", 1, 10))
    assert loading(program.trace(), {0: Span(0.0, 1.0), 1: Span(1.0, 2.0)}, 0.0) is None


def test_a_computation_that_the_accelerator_has_no_turn_for_does_not_stall() -> None:
    program = Program(0, 2)
    first = program.batch("first", 1, 10, tag=0)
    long = program.compute("long", 1.0, first)
    second = program.batch("second", 1, 10, tag=1)
    program.compute("next", 1.0, second)
    found = {first: Span(0.0, 1.0), long: Span(1.0, 6.0), second: Span(0.0, 5.0), 3: Span(6.0, 7.0)}
    assert loading(program.trace(), found, 0.0) == Loading(1.0, 0.0)
