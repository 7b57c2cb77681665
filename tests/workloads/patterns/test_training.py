"""Training patterns end with any number of ranks, move the bytes of their closed forms, and overlap."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from workloads.patterns import training
from workloads.patterns.model import MODELS
from workloads.patterns.training import (
    DataParallelOptions,
    ExpertsOptions,
    PipelineOptions,
    ShardedOptions,
    TrainingOptions,
)
from workloads.trace.dry_run import Model, Outcome, dry_run
from workloads.trace.node import Collective, Trace
from workloads.trace.volume import exchanged, moved
from workloads.traced import busiest_bytes

PATTERNS: dict[str, tuple[Any, TrainingOptions]] = {
    "data_parallel": (training.data_parallel, DataParallelOptions(layers=4)),
    "fsdp": (training.fsdp, ShardedOptions(layers=4)),
    "tensor_parallel": (training.tensor_parallel, TrainingOptions(layers=4)),
    "pipeline": (training.pipeline, PipelineOptions(layers=4)),
    "moe": (training.moe, ExpertsOptions(layers=4)),
}
LAYER = 12 * 768 * 768 * 2  # gpt2's, in bfloat16
ACTIVATION = 1024 * 768 * 2


def traces(pattern: str, nranks: int, **others: Any) -> list[Trace]:
    write, options = PATTERNS[pattern]
    asked = msgspec.structs.replace(options, **others)
    return [write(rank, nranks, asked, 1) for rank in range(nranks)]


def outcome(pattern: str, nranks: int, model: Model = Model(), **others: Any) -> Outcome:  # noqa: B008  frozen
    return dry_run(traces(pattern, nranks, **others), model)[0]


@pytest.mark.parametrize("nranks", [2, 3, 4, 9, 16])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("layers", [1, 4])
def test_every_pattern_ends_with_any_number_of_ranks(pattern: str, nranks: int, layers: int) -> None:
    for each in dry_run(traces(pattern, nranks, layers=layers), Model(1e-5, 1e-9)):
        assert each.time_s >= each.compute_s > 0


def collective_bytes(trace: Trace, kind: str) -> int:
    return sum(node.bytes for node in trace.nodes if isinstance(node, Collective) and node.collective == kind)


def test_data_parallel_reduces_every_gradient_once_in_buckets() -> None:
    (trace, *_) = traces("data_parallel", 4)
    assert collective_bytes(trace, "all_reduce") == 4 * LAYER
    sizes = [node.bytes for node in trace.nodes if isinstance(node, Collective)]
    assert max(sizes) == 4 << 20
    assert len(sizes) == -(-4 * LAYER // (4 << 20))


def test_fsdp_gathers_each_layer_twice_and_scatters_its_gradients_once() -> None:
    (trace, *_) = traces("fsdp", 4)
    assert collective_bytes(trace, "all_gather") == 2 * 4 * LAYER
    assert collective_bytes(trace, "reduce_scatter") == 4 * LAYER


def test_tensor_parallel_reduces_activations_four_times_a_layer() -> None:
    (trace, *_) = traces("tensor_parallel", 4)
    assert collective_bytes(trace, "all_reduce") == 4 * 4 * ACTIVATION


def test_experts_exchange_four_times_a_layer_top_k_times_the_activations() -> None:
    (trace, *_) = traces("moe", 4)
    assert collective_bytes(trace, "all_to_allv") == 4 * 4 * 2 * ACTIVATION


def test_what_experts_were_sent_returns_and_gradients_go_the_same_ways() -> None:
    """Forward and backward: dispatch, combine; the routing is the layer's own."""
    (trace, *_) = traces("moe", 4)
    exchanges = [node for node in trace.nodes if isinstance(node, Collective)]
    assert [node.transposed for node in exchanges] == [False, True] * 8
    routing = [node.seed for node in exchanges[::2]]
    assert routing == [node.seed for node in exchanges[1::2]]
    assert routing == routing[::-1]
    assert len(set(routing)) == 4


@pytest.mark.parametrize("nranks", [2, 4, 9])
def test_experts_bytes_are_those_of_the_drawn_routing(nranks: int) -> None:
    """In a pair of exchanges a rank sends what it does not keep, and returns what it was sent."""
    for rank, trace in enumerate(made := traces("moe", nranks)):
        exchanges = [node for node in trace.nodes if isinstance(node, Collective)]
        for dispatch, combine in zip(exchanges[::2], exchanges[1::2], strict=True):
            routed = exchanged(dispatch, nranks)
            assert {sum(row) for row in routed} == {2 * ACTIVATION}
            given = 2 * ACTIVATION - routed[rank][rank]
            taken = sum(row[rank] for row in routed) - routed[rank][rank]
            assert moved(dispatch, nranks, rank) == (given, taken)
            assert moved(combine, nranks, rank) == (taken, given)
        both = [moved(node, nranks, rank) for node in exchanges]
        assert sum(each.sent for each in both) == sum(each.received for each in both)
    busiest = max(
        sum(moved(node, nranks, rank).sent for node in trace.nodes if isinstance(node, Collective))
        for rank, trace in enumerate(made)
    )
    assert busiest_bytes(made) == busiest > (nranks - 1) / nranks * 4 * 4 * 2 * ACTIVATION * 0.9


def test_experts_compute_as_long_as_their_tokens_ask_for() -> None:
    """Together as long as if every rank had as many."""
    found = dry_run(traces("moe", 4))
    layer = 3 * PATTERNS["moe"][1].forward_us / 1e6  # forward and backward
    assert sum(each.compute_s for each in found) == pytest.approx(4 * 4 * layer * (1 / 3 + 2 * 2 / 3))
    assert max(each.compute_s for each in found) > 1.2 * min(each.compute_s for each in found)


def test_a_pipeline_hands_on_every_activation_and_every_gradient() -> None:
    found = dry_run(traces("pipeline", 4))
    assert [each.message_bytes for each in found] == [ACTIVATION, 2 * ACTIVATION, 2 * ACTIVATION, ACTIVATION]


@pytest.mark.parametrize("nranks", [1, 2, 4, 7])
@pytest.mark.parametrize("count", [1, 4, 8, 16])
def test_a_pipelines_bubble_is_that_of_1f1b(nranks: int, count: int) -> None:
    """m + n - 1 slots of a forward and a backward pass: (n - 1) / m of the work is bubble."""
    forward = 4 * PATTERNS["pipeline"][1].forward_us / 1e6 / count
    found = outcome("pipeline", nranks, microbatches=count)
    assert found.time_s == pytest.approx((count + nranks - 1) * 3 * forward)
    assert found.compute_s == pytest.approx(count * 3 * forward)


def test_data_parallel_hides_all_but_the_last_layers_buckets() -> None:
    fast = Model(0.0, 1e-10)
    found = outcome("data_parallel", 4, fast)
    last = 1.5 * (LAYER + 3 * LAYER % (4 << 20)) * 1e-10  # what the last layer completes
    assert found.time_s == pytest.approx(found.compute_s + last)


def test_prefetching_hides_gathers_and_none_does_not() -> None:
    line = Model(0.0, 1e-9)
    ahead, late = outcome("fsdp", 4, line), outcome("fsdp", 4, line, prefetch=0)
    gather = 0.75 * LAYER * 1e-9
    assert ahead.time_s == pytest.approx(ahead.compute_s + 2 * gather)  # the first, and the last scatter
    assert late.time_s > ahead.time_s + 5 * gather


def test_tensor_parallel_hides_nothing() -> None:
    line = Model(1e-4, 1e-9)
    found = outcome("tensor_parallel", 4, line)
    node = Collective(id=0, collective="all_reduce", bytes=ACTIVATION)
    reduced = 16 * line.collective_s(node, 4)
    assert found.time_s == pytest.approx(found.compute_s + reduced)


def test_a_layers_parameters_are_those_that_were_published() -> None:
    """Within 15 % of a model's whole size, the rest of which are embeddings."""
    published = {
        "gpt2": 85e6, "bert-large": 302e6, "gpt2-xl": 1475e6, "gpt3-175b": 174e9, "llama2-7b": 6.5e9,
        "llama3-8b": 7.0e9, "llama3-70b": 68.5e9,
    }  # fmt: skip
    assert set(published) == set(MODELS)
    for name, size in MODELS.items():
        assert size.layers * size.parameters == pytest.approx(published[name], rel=0.01), name
