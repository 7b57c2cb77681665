"""What a terminal shows while a sweep runs: the cells that run, how many have ended, how much time is left.

In: cells that run and that wait, estimates. Out: a line of rich's on stderr; nothing where that is no
terminal. Owns the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workloads.sweep.cell import Cell
from workloads.sweep.estimate import told
from workloads.sweep.runner import Runner


class SweepProgress:
    """A context manager. `estimates` gives the seconds of each cell by its id, as they are known by then."""

    def __init__(
        self, total: int, runner: Runner, estimates: Callable[[], Mapping[str, float]], console: Console
    ) -> None:
        self._total, self._runner, self._estimates = total, runner, estimates
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("sweep", total=total)

    def __enter__(self) -> SweepProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, running: Sequence[Cell], waiting: Sequence[Cell]) -> None:
        """After every change."""
        if self._bar.disable:
            return
        self._bar.update(
            self._task,
            description=self.line(running, waiting),
            completed=self._total - len(running) - len(waiting),
        )

    def line(self, running: Sequence[Cell], waiting: Sequence[Cell]) -> str:
        """As `path=devmem size=1M, about 3 min left`."""
        seconds = self._estimates()
        left_s = sum(seconds[cell.id] for cell in (*running, *waiting)) / max(1, self._runner.places)
        labels = ", ".join(cell.label for cell in running[:1])
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        return f"{labels}{more}, about {told(left_s)} left"
