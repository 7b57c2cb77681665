"""The runner of cells on this machine, one at a time.

In: jobs. Out: events. Owns the process of the cell that runs.
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
    """As runner.Runner. `cells`: the directory that runs write theirs into."""

    places = 1

    def __init__(self, cells: Path, limit_s: float, command: MakeCommand = run_py) -> None:
        self._cells = cells.absolute()
        self._limit_s = limit_s
        self._command = command
        self._job: Job | None = None
        self._news: list[Event] = []

    def start(self, job: Job) -> None:
        run_dir = self._cells / job.run
        self._process = CellProcess(self._command(run_dir, job.words), run_dir, self._limit_s)
        self._job = job
        self._news.append(Began(job.cell, socket.gethostname()))

    def events(self) -> Sequence[Event]:
        if not self._news:
            time.sleep(_POLL_S)
        if self._job and self._process.poll():
            self._news.append(Ended(self._job.cell, self._process.seconds, self._process.reason or ""))
            self._job = None
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        if self._job:
            self._process.end()
            self._job = None
