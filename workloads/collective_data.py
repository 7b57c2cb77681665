"""What the ranks of one collective are filled with, and what they are checked for.

In: a collective's name, type and reduction, a rank's part, a seed. Out: values in its data memory, a count of
wrong ones. Owns nothing.
"""

from __future__ import annotations

from nodes.machine.accelerator import Operator
from workloads.element_types import Array, ElementType, reduction
from workloads.expected import Contributions
from workloads.machine import Machine
from workloads.schedules.contract import CONTRACTS, Result
from workloads.schedules.schedule import Call
from workloads.workload import CheckResult


class CollectiveData:
    """Raises ValueError when so many ranks have no exact result. `operator`: how two elements are reduced.
    `average_over`: what a sum is divided by; 0 where it stays a sum."""

    def __init__(self, name: str, element: ElementType, redop: str, nranks: int) -> None:
        self._contract = CONTRACTS[name]
        self._given = Contributions(element, redop if self._contract.reduces else "none", nranks)
        self.operator = Operator(element.dtype, reduction(redop))
        self.average_over = nranks if self._contract.reduces and redop == "avg" else 0

    def fill(self, machine: Machine, call: Call, seed: int) -> None:
        chunk = self._contract.inputs(call)
        count = chunk.length // call.element_bytes
        machine.accelerator.generate(
            machine.data, chunk.offset, chunk.length, lambda: self._given.input(seed, call.rank, count)
        )

    def check(self, machine: Machine, call: Call, seed: int) -> CheckResult:
        """Every element of the result."""
        compared = wrong = 0
        for result in self._contract.results(call):
            values = self._expected(call, result, seed)
            wrong += machine.accelerator.compare(machine.data, result.chunk.offset, values)
            compared += result.chunk.length
        return CheckResult(compared, wrong)

    def _expected(self, call: Call, result: Result, seed: int) -> Array:
        count, start = result.chunk.length // call.element_bytes, result.offset // call.element_bytes
        if result.source is None:
            return self._given.reduced(seed, count, start)
        return self._given.input(seed, result.source, count, start)
