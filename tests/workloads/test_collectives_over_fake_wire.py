"""Every collective, algorithm, type and reduction on 2 to 9 ranks, from dma-buf to dma-buf: all values exact.

Whole stacks over a fake wire, so real fragments, tokens and completions; odd sizes, in pieces that end
anywhere, over two connections to each peer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from nodes.client.runtime import MACHINE
from tests.workloads.switched import SwitchedHosts, switched
from workloads.collective import CollectiveOptions
from workloads.collective_data import CollectiveData
from workloads.element_types import ELEMENT_TYPES, REDUCTIONS
from workloads.executor import Executor, Plan
from workloads.experiment.records import ExperimentConfig
from workloads.machine import Machine
from workloads.registry import PATHS
from workloads.schedules.algorithms import ALGORITHMS
from workloads.schedules.contract import CONTRACTS
from workloads.schedules.schedule import Call
from workloads.transports.transport import Transport

T = TypeVar("T")
COUNT = 1_000  # elements: no number of ranks from 3 to 9 but 4, 5 and 8 divides it
ALIGNED = 8192
FLOWS = 2


class Case(NamedTuple):
    name: str
    algorithm: str
    dtype: str
    redop: str
    in_place: bool
    elements: int


def cases() -> Iterator[Case]:
    """All combinations that there are; sizes and places take turns."""
    turns = itertools.cycle([COUNT, 1, COUNT - 1, 0, COUNT + 1])
    places = itertools.cycle([False, True, True, False])
    for name, algorithms in ALGORITHMS.items():
        redops = tuple(REDUCTIONS) if CONTRACTS[name].reduces else ("sum",)
        for algorithm, dtype, redop in itertools.product(algorithms, ELEMENT_TYPES, redops):
            in_place = next(places) and CONTRACTS[name].in_place
            yield Case(name, algorithm, dtype, redop, in_place, next(turns))


CASES = tuple(cases())
FEW, MOST = 4, 9  # ranks: up to FEW every case is done on all of these numbers, above on some of them


def cases_of(nranks: int, soak: bool) -> list[Case]:
    """Of each algorithm a reduction of each type, or half of the types; with --soak all."""

    def in_turn(number: int, case: Case) -> bool:
        if CONTRACTS[case.name].reduces:
            return (number + number // len(REDUCTIONS) + nranks) % len(REDUCTIONS) == 0
        return (number + nranks) % 2 == 0

    return [case for number, case in enumerate(CASES) if soak or nranks <= FEW or in_turn(number, case)]


class Ranks:
    """Each connected to all others, in a thread of its own."""

    def __init__(self, hosts: SwitchedHosts, stack: ExitStack) -> None:
        places = hosts.places()
        self.nranks = len(places)
        config = ExperimentConfig(
            "star", self.nranks, "all_reduce", (8 * COUNT,), ("devmem",), CollectiveOptions(), timeout_s=30.0
        )
        size = (3 + self.nranks) * ALIGNED
        self.machines = [
            stack.enter_context(closing(Machine(place, config, size, MACHINE))) for place in places
        ]
        for machine in self.machines:
            PATHS["devmem"](machine).prepare_nic(machine.place.nic, stack)
        self.transports: list[Transport[Any]] = [
            stack.enter_context(closing(Transport(each, PATHS["devmem"](each), FLOWS)))
            for each in self.machines
        ]
        self._pool = stack.enter_context(ThreadPoolExecutor(self.nranks))
        others = [[peer for peer in range(self.nranks) if peer != rank] for rank in range(self.nranks)]
        at = self.each(lambda rank: self.transports[rank].listen(others[rank]))
        self.each(lambda rank: self.transports[rank].connect({peer: at[peer][rank] for peer in others[rank]}))

    def each(self, call: Callable[[int], T]) -> list[T]:
        return list(self._pool.map(call, range(self.nranks)))

    def wrong(self, rank: int, cases: Sequence[Case]) -> list[Case]:
        """Those in which that rank ends with a wrong value."""
        machine, executor = self.machines[rank], Executor(self.machines[rank], self.transports[rank])
        found = []
        for case in cases:
            call = self._call(rank, case)
            data = CollectiveData(case.name, ELEMENT_TYPES[case.dtype], case.redop, self.nranks)
            data.fill(machine, call, seed=5)
            actions = ALGORITHMS[case.name][case.algorithm](call)
            executor.run(Plan(actions, data.operator, data.average_over, FLOWS))
            executor.settle()
            if data.check(machine, call, seed=5).wrong_elements:
                found.append(case)
        return found

    def _call(self, rank: int, case: Case) -> Call:
        return Call(
            rank=rank,
            nranks=self.nranks,
            count=case.elements,
            element_bytes=ELEMENT_TYPES[case.dtype].bytes,
            input=0,
            scratch=ALIGNED,
            output=0 if case.in_place else 2 * ALIGNED,
            root=self.nranks - 1 if CONTRACTS[case.name].rooted else 0,
            pipeline_bytes=997,
            host_of=tuple(range(self.nranks)),
            seed=5,
        )


@pytest.mark.parametrize("nranks", range(2, MOST + 1))
def test_every_value_of_every_collective_type_and_reduction_is_exact(
    nranks: int, tmp_path: Path, soak: bool
) -> None:
    cases = cases_of(nranks, soak)
    with switched(tmp_path, nranks) as hosts, ExitStack() as stack:
        ranks = Ranks(hosts, stack)
        assert ranks.each(lambda rank: ranks.wrong(rank, cases)) == [[]] * nranks


def test_the_cases_are_all_that_there_are() -> None:
    reducing = sum(len(ALGORITHMS[name]) for name in ALGORITHMS if CONTRACTS[name].reduces)
    moving = sum(len(ALGORITHMS[name]) for name in ALGORITHMS if not CONTRACTS[name].reduces)
    assert len(CASES) == len(ELEMENT_TYPES) * (reducing * len(REDUCTIONS) + moving)
    done = {case for nranks in range(FEW + 1, MOST + 1) for case in cases_of(nranks, soak=False)}
    assert done == set(CASES)
    for nranks in range(FEW + 1, MOST + 1):
        some = cases_of(nranks, soak=False)
        assert {(each.name, each.algorithm) for each in some} == {(x.name, x.algorithm) for x in CASES}
        assert {each.dtype for each in some} == set(ELEMENT_TYPES)
        assert {each.redop for each in some} == set(REDUCTIONS)
