"""The ranks of an experiment as processes of a simulation, in place of Ray's actors.

In: a simulation with the ranks' hosts, the configuration, the ranks' places. Out: a trial's rows, whose
seconds are simulated. Owns the ranks. Their code is that of every run; what they wait with is the
simulation's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nodes.client.runtime import Condition
from nodes.simulation import huge_pages
from nodes.simulation.simulation import Simulation
from workloads.experiment.ledger_series import LedgerReading
from workloads.experiment.rank import Rank
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import (
    ExperimentConfig,
    Operation,
    RankPlace,
    Sample,
    Trial,
)
from workloads.experiment.rendezvous import rendezvous
from workloads.experiment.surroundings import MachineCpu, Surroundings
from workloads.experiment.tcp_info import TcpInfoSample
from workloads.options import keeps_operations
from workloads.progress import Progress

_HOSTS_MANY = 128  # from so many on the hosts' memory is more than the TLB reaches


class _MeetingPlace:
    """What all ranks of a simulation share: how many have come, and the first one's record of progress."""

    def __init__(self, changed: Condition) -> None:
        self.changed = changed
        self.arrived = 0
        self.rounds = 0
        self.vote = self.decided = False
        self.closed = False
        self.progress: Progress | None = None


class _SimulatedMeeting:
    """One rank's end. Waiting takes no time beyond that of the last rank to come."""

    def __init__(self, place: _MeetingPlace, rank: int, machines: Sequence[str], progress: Progress) -> None:
        self._place = place
        self._nranks = len(machines)
        self._progress = progress
        if rank == 0:
            place.progress, place.arrived, place.closed = progress, 0, False

    def listen(self) -> bytes:
        return b"a rank of the simulation"

    def connect(self, _next_rank: bytes) -> None:
        first = self._place.progress
        if first is not None and first is not self._progress:
            self._progress.adopt(os.dup(first.fd))

    def wait(self, vote: bool = False) -> bool:
        place = self._place
        with place.changed:
            place.arrived += 1
            place.vote |= vote
            this = place.rounds
            if place.arrived == self._nranks:
                place.arrived, place.rounds = 0, this + 1
                place.decided, place.vote = place.vote, False
                place.changed.notify_all()
            self._progress.wait(self._until, lambda: place.rounds > this or place.closed)
        if place.closed:
            raise ConnectionError("another rank closed its connection")
        return place.decided  # no rank can come to the next round before all have left this one

    def _until(self, come: Callable[[], bool]) -> None:
        if not self._place.changed.wait_for(come, self._progress.timeout_s):
            raise TimeoutError("the other ranks have not come")

    def close(self) -> None:
        place = self._place
        with place.changed:
            place.closed = place.arrived > 0  # others wait for this one, which will not come
            place.changed.notify_all()


class SimulatedRanks:
    """Every method runs the simulation until all ranks have done it; raises RankFailure."""

    def __init__(self, simulation: Simulation, config: ExperimentConfig, places: Sequence[RankPlace]) -> None:
        self._simulation = simulation
        self._keeps_operations = keeps_operations(config.options)
        self._keeps_tcp_info = config.tcp_info_s is not None
        runtime = simulation.runtime
        meeting = _MeetingPlace(runtime.condition())
        meet, idle = partial(_SimulatedMeeting, meeting), MachineCpu(0.0, 0.0)
        around = Surroundings(runtime, meet, simulation.clock.seconds, lambda: idle, lambda: (0, 0))
        self._collapses = len(simulation.nodes) >= _HOSTS_MANY
        self._names = [f"rank {place.rank}" for place in places]
        self._ranks: list[Rank] = self._each([partial(Rank, place, config, around) for place in places])

    def run(self, trial: Trial) -> Rows:
        """One trial on all ranks."""
        self._all("prepare", [trial] * len(self._ranks))
        listening = self._all("listen", [trial] * len(self._ranks))
        self._all("connect", rendezvous(listening))
        if self._collapses:
            huge_pages.collapse()  # once: later trials reuse what the first one's connections took
            self._collapses = False
        rows: list[list[Sample]] = self._all("run")
        done: list[list[Operation]] = self._all("operations") if self._keeps_operations else []
        readings: list[list[LedgerReading]] = self._all("ledger_readings")
        info: list[list[TcpInfoSample]] = self._all("tcp_info") if self._keeps_tcp_info else []
        self._all("disconnect")
        self._all("restore")
        chained = itertools.chain.from_iterable
        kept = tuple(chained(rows)), tuple(chained(done)), tuple(chained(info))
        return Rows(*kept, tuple(map(tuple, readings)))

    def close_ranks(self) -> None:
        self._all("close")

    def _all(self, method: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Call `method` on every rank at once, with its own argument if there are any; return the answers."""
        each: Sequence[tuple[Any, ...]] = [(one,) for one in arguments] or [()] * len(self._ranks)
        return self._each(
            [partial(getattr(rank, method), *own) for rank, own in zip(self._ranks, each, strict=True)]
        )

    def _each(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        answers: dict[int, Any] = {}

        def call(number: int) -> None:
            answers[number] = calls[number]()

        for number, name in enumerate(self._names):
            self._simulation.runtime.spawn(partial(call, number), name)
        self._simulation.run(lambda: len(answers) == len(calls))
        return [answers[number] for number in range(len(calls))]
