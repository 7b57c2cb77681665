"""Ranks in threads of this process, without Ray. In: what is asked. Out: rows. Owns the ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from workloads.experiment.rank import Rank
from workloads.experiment.records import ExperimentConfig, RankPlace, Sample, Trial
from workloads.experiment.rendezvous import rendezvous
from workloads.registry import workload_of

T = TypeVar("T")


class Ring:
    """All ranks of one experiment, each called from a thread of its own."""

    def __init__(
        self,
        asked: ExperimentConfig,
        channel: Callable[[str], str] = lambda _: "nowhere",
        places: Sequence[RankPlace] = (),
    ) -> None:
        """`channel`: of a host, by name. `places`: by default one a host."""
        self.asked = asked
        hosts = [f"h{rank + 1}" for rank in range(workload_of(asked).ranks(asked))]
        places = places or [RankPlace(n, host, channel(host)) for n, host in enumerate(hosts)]
        self.ranks = [Rank(place, asked) for place in places]
        self._pool = ThreadPoolExecutor(len(places))

    def each(self, call: Callable[[Rank], T]) -> list[T]:
        return list(self._pool.map(call, self.ranks))

    def connect(self, repetition: int = 0) -> None:
        trial = Trial(self.asked.paths[0], self.asked.sizes_bytes[0], repetition)
        self.each(lambda rank: rank.prepare(trial))
        peers = rendezvous(self.each(lambda rank: rank.listen(trial)))
        of = dict(zip(self.ranks, peers, strict=True))
        self.each(lambda rank: rank.connect(of[rank]))

    def run(self) -> list[Sample]:
        return [row for rows in self.each(lambda rank: rank.run()) for row in rows]
