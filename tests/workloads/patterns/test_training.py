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
    seeds = [node.seed for node in trace.nodes if isinstance(node, Collective)]
    assert len(set(seeds)) == len(seeds)


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
    reduced = 16 * line.collective_s("all_reduce", ACTIVATION, 4)
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
