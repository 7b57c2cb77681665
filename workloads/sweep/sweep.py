"""A sweep: the cells that are not done yet are run, and each that has ended is written into the ledger.

In: cells in their order, a ledger, a runner, a `watch` that raises when the sweep has to end. Out: entries of
the ledger. Owns which cell runs when. A cell that fails fails alone; one whose machine is lost is run again,
a bounded number of times.
"""

from __future__ import annotations

import datetime
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workloads.sweep.cell import Cell
from workloads.sweep.ledger import Entry, Ledger, Status
from workloads.sweep.runner import Began, Ended, Event, Job, Lost, Runner

LOSSES_MAX = 2  # after one more the cell has failed


@dataclass(slots=True)
class _Attempt:
    cell: Cell
    run: str = ""
    machine: str = ""
    node: str = ""
    losses: int = 0


class Sweep:
    """`show` is told the cells that run and those that wait, after every change."""

    def __init__(
        self,
        cells: Sequence[Cell],
        ledger: Ledger,
        watch: Callable[[], None],
        show: Callable[[Sequence[Cell], Sequence[Cell]], None] = lambda _running, _waiting: None,
    ) -> None:
        self._ledger = ledger
        self._watch = watch
        self._show = show
        self._waiting = deque(_Attempt(cell) for cell in cells if not ledger.is_done(cell.id))
        self._running: dict[str, _Attempt] = {}

    def run(self, runner: Runner) -> None:
        """Until every cell has ended. Raises LedgerError, RunnerError and what `watch` raises."""
        while self._waiting or self._running:
            self._watch()
            while self._waiting and len(self._running) < runner.places:
                self._start(runner, self._waiting.popleft())
            for event in runner.events():
                self._take(event, self._running[event.cell])
                running, waiting = self._running.values(), self._waiting
                self._show([each.cell for each in running], [each.cell for each in waiting])

    def _start(self, runner: Runner, attempt: _Attempt) -> None:
        cell = attempt.cell
        attempt.run = self._ledger.new_run(cell.id)
        self._running[cell.id] = attempt
        runner.start(Job(cell.id, attempt.run, cell.words))

    def _take(self, event: Event, attempt: _Attempt) -> None:
        match event:
            case Began():
                attempt.machine, attempt.node = event.machine, event.node
            case Ended():
                del self._running[event.cell]
                self._record(attempt, "failed" if event.reason else "complete", event.reason, event.seconds)
            case Lost():
                del self._running[event.cell]
                attempt.losses += 1
                if attempt.losses <= LOSSES_MAX:
                    self._waiting.appendleft(attempt)
                else:
                    reason = f"{event.reason}, as {LOSSES_MAX} machines before; see whether the cell is why"
                    self._record(attempt, "failed", reason, 0.0)

    def _record(self, attempt: _Attempt, status: Status, reason: str, seconds: float) -> None:
        self._ledger.append(
            Entry(
                cell=attempt.cell.id,
                options=attempt.cell.words,
                status=status,
                reason=reason,
                run=attempt.run,
                seconds=round(seconds, 3),
                machine=attempt.machine,
                node=attempt.node,
                losses=attempt.losses,
                finished_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        )
