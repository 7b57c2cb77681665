"""A collective over a transport: its schedule, timed, and every value of the result checked.

In: a collective's name and options, a seed. Out: what was moved in which time, and how many values are wrong.
Owns where in the data memory input, scratch space and output lie. Every host is a rank.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from nodes.option import Option
from nodes.quantity import parse_size
from workloads.bus_bandwidth import busbw_factor
from workloads.collective_data import CollectiveData
from workloads.element_types import ELEMENT_TYPES, REDUCTIONS, ElementType
from workloads.executor import Executor, Plan
from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Column, Measure
from workloads.options import Flows, RepeatedOptions
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS
from workloads.schedules.messages import messages
from workloads.schedules.schedule import Call
from workloads.trace.node import Trace
from workloads.transports.transport import Transport
from workloads.workload import (
    UNCHECKED,
    CheckResult,
    Iteration,
    IterationResult,
    Words,
    WorkloadError,
    WorkloadType,
)

_ALIGNED_BYTES = 4096  # input, scratch and output begin at pages
_ALGORITHMS = tuple(dict.fromkeys(name for algorithms in ALGORITHMS.values() for name in algorithms))
_BOTH = {"both": (False, True), "out": (False,), "in": (True,)}


class CollectiveOptions(RepeatedOptions, frozen=True):
    """What a collective is of, by which algorithm, and how often it runs in a trial."""

    dtype: Annotated[str, Option("Type of the elements (collectives).", choices=tuple(ELEMENT_TYPES))] = (
        "float32"
    )
    redop: Annotated[str, Option("Reduction (collectives).", flag="op", choices=tuple(REDUCTIONS))] = "sum"
    root: Annotated[int, Option("Rank that is the root (collectives that have one).", min=0)] = 0
    algorithm: Annotated[
        str,
        Option(
            "How the collective is done.", choices=_ALGORITHMS, default="the collective's first, see `list`"
        ),
    ] = ""
    place: Annotated[
        Literal["both", "out", "in"],
        Option(
            "Out of place, in place, or one after the other.",
            choices=tuple(_BOTH),
            default="both, where both are possible",
        ),
    ] = "both"
    chunk_bytes: Annotated[
        int,
        Option(
            "Largest piece that is sent or received at a time (collectives).", flag="chunk", parse=parse_size
        ),
    ] = 4 << 20
    flows: Flows = 1


class Collective:
    """One rank's part. As workload.Workload."""

    def __init__(self, name: str, machine: Machine, transport: Transport[Any], size_bytes: int) -> None:
        config, options = machine.config, machine.config.options_as(CollectiveOptions)
        self._machine = machine
        self._size = size_bytes
        self._checks = not options.no_check
        self._data = _data(name, config)
        schedule = ALGORITHMS[name][_algorithm(name, options)]
        self._calls = {
            place: _call(config, size_bytes, machine.place.rank, place) for place in _places(name, options)
        }
        self._plans = {
            place: Plan(schedule(call), self._data.operator, self._data.average_over, options.flows)
            for place, call in self._calls.items()
        }
        plans = self._plans.values()
        self.send_to = tuple(dict.fromkeys(peer for plan in plans for peer in plan.send_to))
        self.receive_from = tuple(dict.fromkeys(peer for plan in plans for peer in plan.receive_from))
        self._executor = Executor(machine, transport)

    @property
    def phase(self) -> str:
        return self._executor.phase

    def fill(self, iteration: Iteration) -> None:
        self._data.fill(self._machine, self._calls[iteration.in_place], iteration.seed)

    def run(self, iteration: Iteration) -> IterationResult:
        """Timed until the whole result is there. What was sent may be needed for retransmission a little
        longer: that is waited for after the clock has stopped."""
        runtime, plan = self._machine.runtime, self._plans[iteration.in_place]
        began, start_s = runtime.cpu(), runtime.monotonic()
        self._executor.run(plan)
        end_s, used = runtime.monotonic(), runtime.cpu().since(began)
        self._executor.settle()
        return IterationResult(
            size_bytes=self._size,
            time_s=end_s - start_s,
            app_cpu_s=used.total_s,
            app_system_cpu_s=used.system_s,
            sent_bytes=plan.sent_bytes,
            received_bytes=plan.received_bytes,
        )

    def check(self, iteration: Iteration) -> CheckResult:
        if not self._checks:
            return UNCHECKED
        return self._data.check(self._machine, self._calls[iteration.in_place], iteration.seed)


def _call(config: ExperimentConfig, size_bytes: int, rank: int, in_place: bool) -> Call:
    """Input, scratch, and output behind each other; in place the output is where the input is."""
    options, nranks = config.options_as(CollectiveOptions), _ranks(config)
    element_bytes = ELEMENT_TYPES[options.dtype].bytes
    scratch = _aligned(max(size_bytes, nranks * element_bytes))
    return Call(
        rank=rank,
        nranks=nranks,
        count=size_bytes // element_bytes,
        element_bytes=element_bytes,
        output=0 if in_place else 2 * scratch,
        scratch=scratch,
        root=options.root,
        pipeline_bytes=options.chunk_bytes,
        host_of=config.hosts_of_ranks,
        seed=config.seed,
    )


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES


def _data_bytes(name: str, config: ExperimentConfig) -> int:
    call = _call(config, max(config.sizes_bytes), 0, in_place=False)
    return call.output + CONTRACTS[name].output_bytes(call)


def _check(name: str, config: ExperimentConfig) -> None:
    options, nranks = config.options_as(CollectiveOptions), _ranks(config)
    element, contract = ELEMENT_TYPES[options.dtype], CONTRACTS[name]
    for size in config.sizes_bytes:
        if size % element.bytes:
            raise WorkloadError(
                f"size {size} is no multiple of the {element.bytes} bytes of an element; round it"
            )
    if options.algorithm and options.algorithm not in ALGORITHMS[name]:
        known = ", ".join(ALGORITHMS[name])
        raise WorkloadError(f"{name} has no algorithm {options.algorithm!r}; choose from {known}")
    if options.redop != "sum" and not contract.reduces:
        raise WorkloadError(f"{name} reduces nothing, so --op {options.redop} does not go with it")
    if options.root and not contract.rooted:
        raise WorkloadError(f"{name} has no root, so --root {options.root} does not go with it")
    if options.root >= nranks:
        raise WorkloadError(f"--root {options.root} is none of the {nranks} ranks; choose 0 to {nranks - 1}")
    if options.place == "in" and not contract.in_place:
        raise WorkloadError(f"{name} cannot be done in place; leave --place out")
    try:
        _data(name, config)
        ALGORITHMS[name][_algorithm(name, options)](_call(config, 0, 0, in_place=False))
    except ValueError as reason:
        raise WorkloadError(str(reason)) from None


def _data(name: str, config: ExperimentConfig) -> CollectiveData:
    """Raises ValueError."""
    options = config.options_as(CollectiveOptions)
    return CollectiveData(name, ELEMENT_TYPES[options.dtype], options.redop, _ranks(config))


def _messages(name: str, config: ExperimentConfig, size_bytes: int) -> list[Trace]:
    options, nranks = config.options_as(CollectiveOptions), _ranks(config)
    schedule, place = ALGORITHMS[name][_algorithm(name, options)], _places(name, options)[0]
    calls = [_call(config, size_bytes, rank, place) for rank in range(nranks)]
    return [messages(schedule(call), call.rank, nranks) for call in calls]


def _ranks(config: ExperimentConfig) -> int:
    return config.ranks or config.hosts


def _iterations(name: str, config: ExperimentConfig) -> Sequence[tuple[bool, bool]]:
    options = config.options_as(CollectiveOptions)
    warm = [True] * options.warmups + [False] * options.iterations
    return [(warmup, place) for place in _places(name, options) for warmup in warm]


def _places(name: str, options: CollectiveOptions) -> tuple[bool, ...]:
    """Out of place first, as nccl-tests has it."""
    return _BOTH[options.place] if CONTRACTS[name].in_place else (False,)


def _algorithm(name: str, options: CollectiveOptions) -> str:
    return options.algorithm or next(iter(ALGORITHMS[name]))


def _redop(name: str, options: CollectiveOptions) -> str:
    """nccl-tests' word: "none" where nothing is reduced."""
    return options.redop if CONTRACTS[name].reduces else "none"


def _words(name: str, config: ExperimentConfig) -> Words:
    options = config.options_as(CollectiveOptions)
    element: ElementType = ELEMENT_TYPES[options.dtype]
    # -1 is nccl-tests' word for a collective without a root.
    root = str(options.root) if CONTRACTS[name].rooted else "-1"
    return Words(element.word, _redop(name, options), root, element.bytes)


_LATENCY: tuple[Column, ...] = ("size", "count", "type", "path", "time", "predicted", "verdict")
_COLUMNS: tuple[Column, ...] = (
    "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw_interval", "predicted",
    "wrong", "dram", "verdict",
)  # fmt: skip


def _measure(name: str, config: ExperimentConfig) -> Measure:
    nranks = _ranks(config)
    return Measure(
        columns=_COLUMNS if busbw_factor(name, nranks) or nranks == 1 else _LATENCY,
        size_is_key=True,
        timed="mean",
        rate="busbw",
        bandwidth_factor=busbw_factor(name, nranks),
        ranks=nranks,
        checked="whole",
    )


def _collective(name: str, description: str) -> WorkloadType:
    of = functools.partial
    return WorkloadType(
        name=name,
        description=f"{description} ({', '.join(ALGORITHMS[name])})",
        options=CollectiveOptions,
        default_sizes="4" if name == "barrier" else "1M:16M:x4",
        ranks=_ranks,
        words=of(_words, name),
        check=of(_check, name),
        data_bytes=of(_data_bytes, name),
        iterations=of(_iterations, name),
        flows=lambda config: config.options_as(CollectiveOptions).flows,
        measure=of(_measure, name),
        start=of(Collective, name),
        traces=of(_messages, name),
    )


COLLECTIVES = tuple(
    _collective(name, description)
    for name, description in {
        "all_reduce": "every rank ends with the reduction of all arrays",
        "reduce_scatter": "every rank ends with its chunk of the reduction of all arrays",
        "all_gather": "every rank ends with the chunks of all ranks",
        "broadcast": "every rank ends with the root's array",
        "reduce": "the root ends with the reduction of all arrays",
        "gather": "the root ends with the chunks of all ranks",
        "scatter": "every rank ends with its chunk of the root's array",
        "all_to_all": "every rank ends with its chunk of every rank's array",
        "all_to_allv": "as all_to_all, with chunks of unlike sizes, as a mixture of experts has them",
        "sendrecv": "every rank sends its array to the next one",
        "barrier": "no rank ends before every rank has begun; on the data plane, of one element",
    }.items()
)
