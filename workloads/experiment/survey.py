"""What is counted beside the ranks while a trial runs: CPU, stolen time, what links carried.

In: an observer, the directions of links. Out: rows of usage.csv and link_usage.csv. Owns the counts of the
trial that runs. A simulation counts its own lines, and has no CPU to observe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from workloads.experiment.link_usage import LinkCounts, LinkDirection, LinkUsage, link_usage, sent
from workloads.experiment.observer import Observer
from workloads.experiment.records import Sample, Trial
from workloads.experiment.usage import Reading, Usage, usage


class Survey(Protocol):
    def during(self, trial: Trial, /) -> AbstractContextManager[Counted]:
        """It lasts as long as the trial."""


class Counted(Protocol):
    """Complete when the trial has ended. `samples`: its rows."""

    def usage(self, samples: Sequence[Sample], /) -> list[Usage]: ...

    def links(self, samples: Sequence[Sample], /) -> list[LinkUsage]: ...


class MachineSurvey:
    """By the counters of this machine's kernel. `directions`: of all links; `queue_drops`: packets that the
    queues in front of them have dropped so far, by the interface that sends."""

    def __init__(
        self,
        observer: Observer,
        directions: Sequence[LinkDirection],
        queue_drops: Callable[[], Mapping[str, int]],
    ) -> None:
        self._observer = observer
        self._directions = directions
        self._queue_drops = queue_drops

    @contextmanager
    def during(self, trial: Trial) -> Iterator[_MachineCounts]:
        before = self._links()
        with self._observer.observing() as readings:
            counted = _MachineCounts(trial, self._observer, self._directions, readings, before)
            yield counted
        counted.after = self._links()

    def _links(self) -> LinkCounts:
        return LinkCounts(sent(self._directions), self._queue_drops())


class _MachineCounts:
    def __init__(
        self,
        trial: Trial,
        observer: Observer,
        directions: Sequence[LinkDirection],
        readings: list[Reading],
        before: LinkCounts,
    ) -> None:
        self._trial = trial
        self._observer = observer
        self._directions = directions
        self._readings = readings
        self._before = before
        self.after = before

    def usage(self, samples: Sequence[Sample]) -> list[Usage]:
        return usage(self._trial, samples, self._observer.watched, self._readings)

    def links(self, samples: Sequence[Sample]) -> list[LinkUsage]:
        return link_usage(self._trial, samples, self._directions, self._before, self.after)
