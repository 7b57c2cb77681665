"""A collective over a transport: the steps of its schedule, timed, and every value of the result checked.

In: a seed. Out: what was timed, and how many values are wrong. Owns nothing but the order of things.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from workloads import expected
from workloads.experiment.records import Checked, ExperimentConfig, Timed
from workloads.machine import Machine
from workloads.schedules import SCHEDULES, Span
from workloads.transports.transport import Transport


class Collective:
    """In place, float32, sum. `phase` says at any time what is being done, for error messages."""

    description: ClassVar[str] = "ring all-reduce of float32, in place: reduce-scatter, then all-gather"
    type: ClassVar[str] = expected.TYPE
    redop: ClassVar[str] = "sum"
    root: ClassVar[str] = "-1"  # nccl-tests' word for a collective without one
    element_bytes: ClassVar[int] = expected.ELEMENT_BYTES

    def __init__(self, machine: Machine, transport: Transport[Any], size_bytes: int) -> None:
        self._machine = machine
        self._transport = transport
        self._count = size_bytes // self.element_bytes
        rank, nranks = machine.place.rank, self.ranks(machine.config)
        self._steps = SCHEDULES[machine.config.workload](rank, nranks, size_bytes, self.element_bytes)
        self._nranks = nranks
        self.phase = ""

    @staticmethod
    def ranks(config: ExperimentConfig) -> int:
        """Every host takes part."""
        return config.hosts

    @staticmethod
    def iterations(config: ExperimentConfig) -> tuple[int, int]:
        """(warm-up, measured)."""
        return config.warmup, config.iterations

    def fill(self, seed: int) -> None:
        operand = expected.operand(seed, self._machine.place.rank, self._count)
        self._machine.accelerator.fill(self._machine.data, 0, operand)

    def run(self) -> Timed:
        """Timed until the whole result is there. What was sent may be needed for retransmission a little
        longer: that is waited for after the clock has stopped."""
        tickets: list[int] = []
        cpu_s, start_s = time.process_time(), time.monotonic()
        for number, step in enumerate(self._steps):
            self.phase = f"{step.phase} step {number + 1} of {len(self._steps)}"
            tickets.append(self._transport.send(step.send.offset, step.send.length))
            if step.overwrites is not None:
                self._transport.wait_reusable(tickets[step.overwrites])
            self._receive(step.receive, step.reduces)
        end_s, cpu_end_s = time.monotonic(), time.process_time()
        self.phase = "completion of the last sends"
        self._transport.wait_reusable(tickets[-1])
        return Timed(
            size_bytes=self._count * self.element_bytes,
            time_s=end_s - start_s,
            app_cpu_s=cpu_end_s - cpu_s,
            sent_bytes=sum(step.send.length for step in self._steps),
            received_bytes=sum(step.receive.length for step in self._steps),
        )

    def check(self, seed: int) -> Checked:
        result = expected.reduced_sum(seed, self._nranks, self._count)
        return Checked(result.nbytes, self._machine.accelerator.compare(self._machine.data, 0, result))

    def _receive(self, span: Span, reduces: bool) -> None:
        receive = self._transport.receive_reduce if reduces else self._transport.receive_into
        receive(span.offset, span.length)
