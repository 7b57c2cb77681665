"""A collective over a transport: the steps of its schedule, timed, and every value of the result checked.

In: a schedule, a seed. Out: what was moved in which time, and how many values are wrong. Owns the order of
sending, waiting and receiving.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Annotated, Any

from nodes.option import Option
from workloads import expected
from workloads.bus_bandwidth import busbw_factor
from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.measure import Measure
from workloads.options import WorkloadOptions
from workloads.schedules import Receive, Schedule, ring_all_reduce
from workloads.transports.transport import Ticket, Transport
from workloads.workload import CheckResult, IterationResult, WorkloadType


class CollectiveOptions(WorkloadOptions, frozen=True):
    """How often a collective runs in a trial."""

    iterations: Annotated[
        int, Option("Measured iterations a repetition (collectives).", flag="iters", min=1)
    ] = 3
    warmup: Annotated[int, Option("Iterations before them, marked as warm-up.", min=0)] = 1


class Collective:
    """In place, float32, sum; every host is a rank. As workload.Workload."""

    def __init__(
        self, schedule: Schedule, machine: Machine, transport: Transport[Any], size_bytes: int
    ) -> None:
        self._machine = machine
        self._transport = transport
        self._count = size_bytes // expected.ELEMENT_BYTES
        self._nranks = _ranks(machine.config)
        self._steps = schedule(machine.place.rank, self._nranks, size_bytes, expected.ELEMENT_BYTES)
        self.send_to = _each_once(step.send.peer for step in self._steps if step.send)
        self.receive_from = _each_once(step.receive.peer for step in self._steps if step.receive)
        self.phase = ""

    def fill(self, seed: int) -> None:
        operand = expected.operand(seed, self._machine.place.rank, self._count)
        self._machine.accelerator.fill(self._machine.data, 0, operand)

    def run(self) -> IterationResult:
        """Timed until the whole result is there. What was sent may be needed for retransmission a little
        longer: that is waited for after the clock has stopped."""
        runtime, transport = self._machine.runtime, self._transport
        tickets: list[Ticket | None] = []
        cpu_s, start_s = runtime.cpu_s(), runtime.monotonic()
        for number, step in enumerate(self._steps):
            self.phase = f"{step.phase} step {number + 1} of {len(self._steps)}"
            send = step.send
            ticket = transport.send(send.peer, send.chunk.offset, send.chunk.length) if send else None
            tickets.append(ticket)
            for earlier in step.overwrites:
                if overwritten := tickets[earlier]:
                    transport.wait_reusable(overwritten)
            if step.receive:
                self._receive(step.receive)
        end_s, cpu_end_s = runtime.monotonic(), runtime.cpu_s()
        self.phase = "completion of the last sends"
        for last in {ticket.peer: ticket for ticket in tickets if ticket}.values():
            transport.wait_reusable(last)
        return IterationResult(
            size_bytes=self._count * expected.ELEMENT_BYTES,
            time_s=end_s - start_s,
            app_cpu_s=cpu_end_s - cpu_s,
            sent_bytes=sum(step.send.chunk.length for step in self._steps if step.send),
            received_bytes=sum(step.receive.chunk.length for step in self._steps if step.receive),
        )

    def check(self, seed: int) -> CheckResult:
        result = expected.reduced_sum(seed, self._nranks, self._count)
        return CheckResult(result.nbytes, self._machine.accelerator.compare(self._machine.data, 0, result))

    def _receive(self, step: Receive) -> None:
        receive = self._transport.receive_reduce if step.reduces else self._transport.receive_into
        receive(step.peer, step.chunk.offset, step.chunk.length)


def _ranks(config: ExperimentConfig) -> int:
    return config.ranks or config.hosts


def _iterations(config: ExperimentConfig) -> tuple[int, int]:
    options = config.options_as(CollectiveOptions)
    return options.warmup, options.iterations


def _each_once(peers: Iterable[int]) -> tuple[int, ...]:
    """In the order of their first step."""
    return tuple(dict.fromkeys(peers))


def _measure(name: str, nranks: int) -> Measure:
    return Measure(
        columns=(
            "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw_interval",
            "wrong", "dram", "verdict",
        ),
        size_is_key=True,
        timed="mean",
        rate="busbw",
        bandwidth_factor=busbw_factor(name, nranks),
        ranks=nranks,
        checked="whole",
    )  # fmt: skip


def _collective(name: str, description: str, schedule: Schedule) -> WorkloadType:
    return WorkloadType(
        name=name,
        description=description,
        type=expected.TYPE,
        redop="sum",
        root="-1",  # nccl-tests' word for a collective without one
        element_bytes=expected.ELEMENT_BYTES,
        options=CollectiveOptions,
        default_sizes="1M:16M:x4",
        ranks=_ranks,
        iterations=_iterations,
        measure=functools.partial(_measure, name),
        start=functools.partial(Collective, schedule),
    )


ALL_REDUCE = _collective(
    "all_reduce", "ring all-reduce of float32, in place: reduce-scatter, then all-gather", ring_all_reduce
)
