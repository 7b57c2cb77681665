"""A runner that runs nothing: cells end as a test says, machines die as a test says.

In: jobs. Out: events. Owns no process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from workloads.sweep.runner import Began, Ended, Event, Job, Lost

Ending = Callable[[Job], Ended | Lost]


def well(job: Job) -> Ended | Lost:
    return Ended(job.cell, 2.0)


class FakeRunner:
    """As runner.Runner; each cell ends one call of `events` after it began."""

    def __init__(self, cells: Path, ending: Ending = well, places: int = 1) -> None:
        self.places = places
        self.started: list[Job] = []
        self._cells, self._ending = cells, ending
        self._running: list[Job] = []
        self._begun: list[Job] = []

    def start(self, job: Job) -> None:
        assert len(self._running) < self.places, "more cells than places"
        assert not (self._cells / job.run).exists(), "a directory of an earlier run"
        (self._cells / job.run).mkdir()
        self.started.append(job)
        self._running.append(job)

    def events(self) -> Sequence[Event]:
        news: list[Event] = []
        for job in list(self._running):
            if job in self._begun:
                self._running.remove(job)
                news.append(self._ending(job))
            else:
                news.append(Began(job.cell, "m1", "n1"))
        self._begun = list(self._running)
        return news

    def close(self) -> None:
        self._running.clear()
