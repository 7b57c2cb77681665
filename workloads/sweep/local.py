"""The runner of cells on this machine, one at a time, or several if they do not measure it.

In: jobs. Out: events. Owns the processes of the cells that run.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workloads.sweep.cell_process import CellProcess, command_of
from workloads.sweep.runner import Began, Ended, Event, Job

PROJECT = Path(__file__).resolve().parents[2]
_POLL_S = 0.1

MakeCommand = Callable[[Path, Sequence[str]], Sequence[str]]


def run_py(run_dir: Path, words: Sequence[str]) -> Sequence[str]:
    return command_of(PROJECT, run_dir, words)


class LocalRunner:
    """As runner.Runner. `cells`: the directory that runs write theirs into. `places`: cells at once: 1 where
    cells measure this machine's seconds."""

    def __init__(self, cells: Path, limit_s: float, command: MakeCommand = run_py, places: int = 1) -> None:
        self.places = places
        self._cells = cells.absolute()
        self._limit_s = limit_s
        self._command = command
        self._running: dict[str, CellProcess] = {}
        self._news: list[Event] = []

    def start(self, job: Job) -> None:
        run_dir = self._cells / job.run
        process = CellProcess(self._command(run_dir, job.words), run_dir, self._limit_s)
        self._running[job.cell] = process
        self._news.append(Began(job.cell, socket.gethostname()))

    def events(self) -> Sequence[Event]:
        if not self._news:
            time.sleep(_POLL_S)
        for cell, process in [*self._running.items()]:
            if process.poll():
                self._news.append(Ended(cell, process.seconds, process.reason or ""))
                del self._running[cell]
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        for process in self._running.values():
            process.end()
        self._running.clear()
