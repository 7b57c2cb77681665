"""Training of a model by several ranks, as traces: data parallel, sharded, in tensors, pipelined, experts.

In: a rank, the number of ranks, options. Out: the rank's trace of one training step; pure. Owns nothing. What
the patterns send is in the literature cited at each; durations follow from the model's published size.
"""

from __future__ import annotations

from typing import Annotated

from nodes.option import Option
from nodes.quantity import parse_size
from workloads.element_types import ELEMENT_TYPES
from workloads.options import TracedOptions
from workloads.patterns.model import MODELS, ModelSize
from workloads.trace.node import Collective, Program, Trace
from workloads.trace.volume import exchanged

_BACKWARD = 2.0  # times as long as forward
_OPTIMIZER = 0.1  # of a forward pass


class TrainingOptions(TracedOptions, frozen=True):
    """What is trained, and how fast. The accelerator is slow in proportion to this machine's network: at 400
    times the speed of both, shares of time stay what they are."""

    model: Annotated[str, Option("The model that is trained.", choices=tuple(MODELS))] = "gpt2"
    layers: Annotated[int, Option("How many of its layers.", min=1, max=200)] = 2
    tokens: Annotated[int, Option("Tokens that a rank trains on in a step.", min=1)] = 1024
    tflops: Annotated[
        float,
        Option(
            "What an accelerator reaches, in 1e12 operations a second; with --mfu its peak.",
            min=1e-6,
            max=1e6,
        ),
    ] = 1.0
    mfu: Annotated[
        float | None,
        Option(
            "Share of the accelerator's peak that it reaches, as 0.4: of --machine's, or of --tflops.",
            min=1e-3,
            max=1.0,
            default="--tflops is reached",
        ),
    ] = None
    element: Annotated[
        str, Option("Type of parameters, gradients and activations.", choices=tuple(ELEMENT_TYPES))
    ] = "bfloat16"

    @property
    def size(self) -> ModelSize:
        return MODELS[self.model]

    @property
    def element_bytes(self) -> int:
        return ELEMENT_TYPES[self.element].bytes

    @property
    def layer_bytes(self) -> int:
        """Of one layer's parameters, or gradients."""
        return self.size.parameters * self.element_bytes

    @property
    def activation_bytes(self) -> int:
        """What a layer hands on, for all tokens of a rank."""
        return self.size.activation_bytes(self.tokens, self.element_bytes)

    @property
    def reached_tflops(self) -> float:
        """Model FLOPs utilisation (Chowdhery et al., "PaLM", 2022, section 4.1) times the peak, if given."""
        return self.tflops if self.mfu is None else self.mfu * self.tflops

    @property
    def forward_us(self) -> float:
        """Of one layer and all tokens of a rank."""
        return self.size.forward_us(self.tokens, self.reached_tflops)


class DataParallelOptions(TrainingOptions, frozen=True):
    """Data parallel training has buckets besides."""

    bucket_bytes: Annotated[
        int, Option("Gradients that are reduced together.", flag="bucket", parse=parse_size)
    ] = 4 << 20


class ShardedOptions(TrainingOptions, frozen=True):
    """Sharded training fetches layers ahead."""

    prefetch: Annotated[int, Option("Layers that are gathered ahead.", min=0, max=64)] = 1


class PipelineOptions(TrainingOptions, frozen=True):
    """A pipeline cuts a rank's tokens into microbatches; `layers` are those of each stage."""

    microbatches: Annotated[int, Option("Microbatches of a step.", min=1, max=1024)] = 8


class ExpertsOptions(TrainingOptions, frozen=True):
    """A mixture of experts sends each token to several of them."""

    top_k: Annotated[int, Option("Experts that a token is sent to.", min=1, max=64)] = 2


def data_parallel(rank: int, nranks: int, options: DataParallelOptions, seed: int) -> Trace:  # noqa: ARG001
    """Gradients are all-reduced in buckets, in the order in which the backward pass makes them, while it goes
    on (Li et al., "PyTorch Distributed", 2020, section 3.2)."""
    program = Program(rank, nranks)
    last: tuple[int, ...] = ()
    for layer in range(options.layers):
        last = (program.compute(f"forward {layer}", options.forward_us, *last),)
    reduced: list[int] = []
    waiting = 0  # bytes of gradients that are in no bucket yet
    for layer in reversed(range(options.layers)):
        last = (program.compute(f"backward {layer}", _BACKWARD * options.forward_us, *last),)
        waiting += options.layer_bytes
        while waiting >= options.bucket_bytes or (layer == 0 and waiting):
            size = min(waiting, _whole(options.bucket_bytes, options.element_bytes))
            reduced.append(_reduced(program, f"bucket {len(reduced)}", size, options, *last))
            waiting -= size
    program.compute("optimizer", _OPTIMIZER * options.layers * options.forward_us, *last, *reduced)
    return program.trace()


def fsdp(rank: int, nranks: int, options: ShardedOptions, seed: int) -> Trace:  # noqa: ARG001
    """Parameters are sharded: each layer is gathered before it computes, forward and backward, and its
    gradients are reduce-scattered (Rajbhandari et al., "ZeRO", 2020, stage 3; Zhao et al., "PyTorch FSDP",
    2023). A layer is gathered when the one `prefetch` + 1 before it has computed, so that so many are whole
    at a time."""
    program = Program(rank, nranks)
    order = [*range(options.layers), *reversed(range(options.layers))]
    computed: list[int] = []
    scattered: list[int] = []
    gathered: list[int] = []
    for turn, layer in enumerate(order):
        backward = turn >= options.layers
        # Gathers come before the reduce-scatters of computations that they do not wait for.
        while len(gathered) < min(len(order), turn + 1 + options.prefetch):
            ahead = len(gathered)
            freed = ahead - options.prefetch - 1
            after = (computed[freed],) if freed >= 0 else ()
            gathered.append(
                program.collective(
                    f"gather {order[ahead]}", "all_gather", options.layer_bytes, *after, dtype=options.element
                )
            )
        took = (_BACKWARD if backward else 1) * options.forward_us
        name = f"{'backward' if backward else 'forward'} {layer}"
        computed.append(program.compute(name, took, gathered[turn], *computed[-1:]))
        if backward:
            scattered.append(
                program.collective(
                    f"scatter {layer}",
                    "reduce_scatter",
                    options.layer_bytes,
                    computed[-1],
                    dtype=options.element,
                )
            )
    took = _OPTIMIZER * options.layers * options.forward_us / nranks
    program.compute("optimizer", took, computed[-1], *scattered)
    return program.trace()


def tensor_parallel(rank: int, nranks: int, options: TrainingOptions, seed: int) -> Trace:  # noqa: ARG001
    """Every layer is divided among all ranks: its attention and its MLP end with an all-reduce of the
    activations each, forward and backward (Shoeybi et al., "Megatron-LM", 2019, section 3). Nothing
    overlaps: each computation needs the reduction before it."""
    program = Program(rank, nranks)
    last: tuple[int, ...] = ()
    for direction, factor in (("forward", 1.0), ("backward", _BACKWARD)):
        layers = range(options.layers)
        for layer in layers if direction == "forward" else reversed(layers):
            # A third of a layer's parameters are attention's, two thirds the MLP's.
            for part, share in (("attention", 1 / 3), ("mlp", 2 / 3)):
                took = factor * share * options.forward_us / nranks
                last = (program.compute(f"{direction} {part} {layer}", took, *last),)
                name = f"{direction} {part} {layer}"
                last = (_reduced(program, name, options.activation_bytes, options, *last),)
    return program.trace()


def pipeline(rank: int, nranks: int, options: PipelineOptions, seed: int) -> Trace:  # noqa: ARG001
    """A rank is a stage. After its warm-up a stage does one forward and one backward pass in turns (1F1B:
    Narayanan et al., "PipeDream", 2019, and "Megatron-LM", 2021, section 2.2)."""
    program = Program(rank, nranks)
    count = options.microbatches
    size = _whole(options.activation_bytes // count, options.element_bytes)
    took = options.layers * options.forward_us / count
    first, final = rank == 0, rank == nranks - 1
    last: tuple[int, ...] = ()

    def forward(batch: int) -> None:
        nonlocal last
        came = () if first else (program.receive(f"activation {batch}", rank - 1, size),)
        last = (program.compute(f"forward {batch}", took, *came, *last),)
        if not final:
            program.send(f"activation {batch}", rank + 1, size, *last)

    def backward(batch: int) -> None:
        nonlocal last
        came = () if final else (program.receive(f"gradient {batch}", rank + 1, size),)
        last = (program.compute(f"backward {batch}", _BACKWARD * took, *came, *last),)
        if not first:
            program.send(f"gradient {batch}", rank - 1, size, *last)

    warmup = min(nranks - 1 - rank, count)
    for batch in range(warmup):
        forward(batch)
    for batch in range(warmup, count):
        forward(batch)
        backward(batch - warmup)
    for batch in range(count - warmup, count):
        backward(batch)
    return program.trace()


def moe(rank: int, nranks: int, options: ExpertsOptions, seed: int) -> Trace:
    """Each rank has experts; every layer sends its tokens to the experts that they are routed to, and their
    results back, forward and backward: four exchanges a layer, of unlike sizes (Lepikhin et al., "GShard",
    2020; Fedus et al., "Switch Transformers", 2021). Each layer's routing is drawn from the seed: combining
    is dispatching transposed, gradients go the way of their tokens, and a rank's experts compute as long as
    their share of the tokens asks for."""
    program = Program(rank, nranks)
    size = options.activation_bytes * options.top_k
    last: tuple[int, ...] = ()

    def exchange(name: str, layer: int, back: bool = False) -> None:
        nonlocal last
        drawn = _routing(seed, layer)
        last = (
            program.collective(
                name, "all_to_allv", size, *last, dtype=options.element, seed=drawn, transposed=back
            ),
        )

    for direction, factor in (("forward", 1.0), ("backward", _BACKWARD)):
        layers = range(options.layers)
        for layer in layers if direction == "forward" else reversed(layers):
            took = factor * options.forward_us / 3
            last = (program.compute(f"{direction} attention {layer}", took, *last),)
            exchange(f"{direction} dispatch {layer}", layer)
            took = factor * 2 / 3 * options.forward_us * _came(rank, nranks, options, _routing(seed, layer))
            last = (program.compute(f"{direction} experts {layer}", took, *last),)
            exchange(f"{direction} combine {layer}", layer, back=True)
    return program.trace()


def _routing(seed: int, layer: int) -> int:
    """The seed of a layer's exchanges."""
    return (seed * 1_000_003 + layer) % (1 << 31)


def _came(rank: int, nranks: int, options: ExpertsOptions, routing: int) -> float:
    """How many times as many tokens a rank's experts are given as a rank has; the mean is top_k."""
    size = options.activation_bytes
    node = Collective(
        id=0, collective="all_to_allv", bytes=size * options.top_k, dtype=options.element, seed=routing
    )
    return sum(row[rank] for row in exchanged(node, nranks)) / size


def _reduced(program: Program, name: str, size: int, options: TrainingOptions, *after: int) -> int:
    return program.collective(name, "all_reduce", size, *after, dtype=options.element)


def _whole(size: int, element_bytes: int) -> int:
    """At least one element, and none in part."""
    return max(element_bytes, size - size % element_bytes)
