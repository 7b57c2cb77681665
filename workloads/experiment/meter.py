"""What a trial used of a machine and of its links, measured around the trial.

In: processes and links of this machine. Out: rows of usage.csv and link_usage.csv. Owns an Observer's thread
while a trial runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from workloads.experiment.link_usage import LinkCounts, LinkDirection, LinkUsage, link_usage, sent
from workloads.experiment.memory_usage import MemoryUsage, memory_usage
from workloads.experiment.observer import Observer
from workloads.experiment.records import Sample, Trial
from workloads.experiment.usage import Reading, Usage, usage


class Used(NamedTuple):
    """Rows of a trial."""

    usage: Sequence[Usage]
    links: Sequence[LinkUsage]
    memory: Sequence[MemoryUsage] = ()


class Meter(Protocol):
    """`measuring` is around a trial, `used` behind it."""

    def measuring(self) -> AbstractContextManager[None]: ...

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used: ...


class MachineMeter:
    """Of this machine. `directions`: of all links; `queue_drops`: packets that the queues in front of them
    have dropped so far, by the interface that sends."""

    def __init__(
        self,
        observer: Observer,
        directions: Sequence[LinkDirection],
        queue_drops: Callable[[], Mapping[str, int]],
    ) -> None:
        self._observer, self._directions, self._queue_drops = observer, directions, queue_drops
        self._readings: Sequence[Reading] = ()
        self._links: tuple[LinkCounts, ...] = ()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        before = self._carried()
        with self._observer.observing() as readings:
            yield
        self._readings, self._links = readings, (before, self._carried())

    def _carried(self) -> LinkCounts:
        return LinkCounts(sent(self._directions), self._queue_drops())

    def used(self, trial: Trial, samples: Sequence[Sample]) -> Used:
        """`samples`: of ranks whose clocks are this machine's."""
        return Used(
            usage(trial, samples, self._observer.watched, self._readings),
            link_usage(trial, samples, self._directions, *self._links),
            memory_usage(trial, samples, self._readings),
        )
