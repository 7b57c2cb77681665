"""How far a simulated trial has come: its simulated time, and the real time that is left.

In: the simulated clock, what a trial is expected to take; calls from the simulation while it runs. Out: a few
words, now and then. Owns what trials took so far: the next one of that path and size is expected to take as
long. Before that the prediction counts, which is that of the links alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from nodes.simulation.clock import Clock
from workloads.experiment.records import Trial

_TELL_S = 0.5  # of real time, between two updates
_DAY_S = 86_400


class SimulatedProgress:
    """`check` raises where the run is to end. `expected_s`: simulated seconds of a trial, by size; those
    that are not there are not known. `real`: a clock of this machine, in seconds."""

    def __init__(
        self,
        clock: Clock,
        check: Callable[[], None],
        expected_s: Mapping[int, float],
        real: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._check = check
        self._expected_s = dict(expected_s)
        self._took_s: dict[tuple[str, int], float] = {}
        self._real = real
        self._trial: Trial | None = None
        self._show: Callable[[str], None] = lambda _: None
        self._began_s = self._began_real_s = self._told_s = 0.0

    def begin(self, trial: Trial, show: Callable[[str], None]) -> None:
        """The next trial begins; `show` takes the words."""
        self._trial, self._show = trial, show
        self._began_s, self._began_real_s = self._clock.seconds(), self._real()
        self._told_s = self._began_real_s

    def end(self) -> None:
        """The trial has ended."""
        if self._trial is not None:
            self._took_s[self._trial.path, self._trial.size_bytes] = self._clock.seconds() - self._began_s
            self._trial = None

    def watch(self) -> None:
        """The simulation calls this while it runs."""
        self._check()
        now_s = self._real()
        if self._trial is not None and now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            self._show(self._words(self._trial, now_s - self._began_real_s))

    def _words(self, trial: Trial, real_s: float) -> str:
        done_s = self._clock.seconds() - self._began_s
        words = f"{1e3 * done_s:.3f} ms simulated"
        expected_s = self._took_s.get(
            (trial.path, trial.size_bytes), self._expected_s.get(trial.size_bytes, 0.0)
        )
        left_s = (expected_s - done_s) * real_s / done_s if done_s else 0.0
        return f"{words}, about {left_s:.0f} s left" if 0 < left_s < _DAY_S else words
