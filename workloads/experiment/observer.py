"""Reads the kernel's counters while a trial runs, from a process that takes no part in it.

In: the processes and links to watch, the machine's memory counters if it has any. Out: readings. Owns a
thread while a trial runs, which takes at most a hundredth of a core: it sleeps much longer than a reading
took.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workloads.experiment.memory_counters import MemoryCounters, MovedByMachine, NoCounters
from workloads.experiment.proc import Sent, core_times, process_cpu_s, run_queue_wait_s, sent_by
from workloads.experiment.usage import Reading, Watched, WatchedProcess

_PERIOD_MIN_S = 0.02
_PAUSES = 150  # how many times longer than a reading a pause is
_READINGS = 500  # of a long trial, about: its readings become rarer
_PROC = Path("/proc")


class Observer:
    def __init__(self, watched: Watched, memory: MemoryCounters | None = None) -> None:
        self.watched = watched
        self._memory = memory

    @contextmanager
    def observing(self) -> Iterator[list[Reading]]:
        """The list is complete when the block has ended: a reading before it, several within, one after."""
        reader, readings, ended = _Reader(self.watched, self._memory), list[Reading](), threading.Event()

        def observe() -> None:
            started_s, pause_s = time.monotonic(), _PERIOD_MIN_S
            while not ended.wait(pause_s):
                before_s = time.thread_time()
                readings.append(reader.read())
                cost_s = time.thread_time() - before_s
                rare_s = (time.monotonic() - started_s) / _READINGS
                pause_s = max(_PERIOD_MIN_S, _PAUSES * cost_s, rare_s)

        readings.append(reader.read())
        thread = threading.Thread(target=observe, name="observer", daemon=True)
        thread.start()
        try:
            yield readings
        finally:
            ended.set()
            thread.join()
        readings.append(reader.read())


class _Reader:
    """A process that has ended keeps its last counts, and so does a thread."""

    def __init__(self, watched: Watched, memory: MemoryCounters | None) -> None:
        self._watched = watched
        self._memory = memory
        self._waits = [dict[str, float]() for _ in watched.processes]
        self._cpu_s = [0.0 for _ in watched.processes]

    def read(self) -> Reading:
        return Reading(
            time.time(),
            core_times((_PROC / "stat").read_text()),
            tuple(self._process(at, each) for at, each in enumerate(self._watched.processes)),
            tuple(self._links()),
            self._moved_by_machine(),
        )

    def _moved_by_machine(self) -> MovedByMachine | None:
        """None if the machine does not tell, or no longer does."""
        with suppress(OSError, NoCounters):
            return self._memory.read() if self._memory is not None else None
        return None

    def _process(self, at: int, process: WatchedProcess) -> tuple[float, float]:
        place, waits = _PROC / str(process.pid), self._waits[at]
        with suppress(OSError):
            self._cpu_s[at] = process_cpu_s((place / "stat").read_text())
            for task in (place / "task").iterdir():
                with suppress(OSError):  # ProcessLookupError: it has ended meanwhile
                    waits[task.name] = run_queue_wait_s((task / "schedstat").read_text())
        return self._cpu_s[at], sum(waits.values())

    def _links(self) -> Iterator[Sent]:
        pids = {link.pid for link in self._watched.links}
        seen = {pid: sent_by((_PROC / str(pid) / "net/dev").read_text()) for pid in pids}
        for link in self._watched.links:
            yield seen[link.pid][link.interface]
