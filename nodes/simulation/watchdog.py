"""Notices a process of the simulation that holds it up for ever, in a real wait or a loop, and ends that.

In: a simulation that runs in this thread; looks of a thread of its own, one a real second. Out: StuckError,
raised in the process that does not go on, with the line where it is. Owns the thread, and SIGUSR1 meanwhile.

While a process runs simulated time stands still, so one that sleeps, reads a socket or takes a lock of this
machine holds all others up. The simulation reads nothing of this: a run that ends is the same without it.
Looks are counted, so a machine that stands still, or is busy with others, makes it patient. Whether a thread
waits is the state that Linux tells of it (proc(5), stat). A wait that no signal ends, as that of a mutex in
C, outlasts the watchdog.
"""

from __future__ import annotations

import os
import signal
import sysconfig
import threading
from pathlib import Path
from types import FrameType
from typing import Self

from nodes.simulation.failures import StuckError
from nodes.simulation.simulation import Simulation

WAITING_LOOKS = 30  # one after the other, at the same turn of a process, and no thread computes
COMPUTING_LOOKS = 600  # at the same turn, and one does: its own work may take long, and end
LOOK_S = 1.0
_TASKS = Path("/proc/self/task")
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


class Watchdog:
    """As a context around `Simulation.run`, in the process's main thread."""

    def __init__(
        self,
        simulation: Simulation,
        waiting: int = WAITING_LOOKS,
        computing: int = COMPUTING_LOOKS,
        look_s: float = LOOK_S,
    ) -> None:
        self._simulation = simulation
        self._waiting, self._computing, self._look_s = waiting, computing, look_s
        self._watched = threading.get_ident()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._seen = 0  # the turn of a process that the last look saw
        self._stuck = 0  # the one that is to end

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGUSR1, self._end)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._before)

    def _watch(self) -> None:
        waited = computed = 0  # looks at the same turn
        while not self._ending.wait(self._look_s):
            turn = self._turn()
            if not turn or turn != self._seen:
                self._seen, waited, computed = turn, 0, 0
            elif _computes(threading.get_native_id()):
                waited, computed = 0, computed + 1
            else:
                waited += 1
            if waited >= self._waiting or computed >= self._computing:
                self._stuck, self._seen = turn, 0
                signal.pthread_kill(self._watched, signal.SIGUSR1)  # a wait of Python's ends by it

    def _turn(self) -> int:
        """The number of the turn in which a process runs; 0: none does."""
        scheduler = self._simulation.scheduler
        return scheduler.resumed if scheduler.running is not None else 0

    def _end(self, _signum: int, frame: FrameType | None) -> None:
        """In the watched thread. It may have gone on meanwhile."""
        scheduler = self._simulation.scheduler
        if scheduler.running is not None and self._turn() == self._stuck:
            raise StuckError(
                f"{scheduler.alive[scheduler.running]} does not go on, at {_place(frame)}: simulated time "
                "stands still while a process runs, so let it sleep and wait by its host's runtime and "
                "sockets, and not by this machine's"
            )


def _computes(but: int) -> bool:
    """Whether a thread of this process runs, or would if it had a CPU; `but`: one that does not count."""
    for task in os.listdir(_TASKS):
        if int(task) != but:
            try:
                stat = (_TASKS / task / "stat").read_text()
            except OSError:  # it has ended
                continue
            if stat.rpartition(")")[2].split()[0] == "R":
                return True
    return False


def _place(frame: FrameType | None) -> str:
    """File and line of the innermost frame that is not Python's own, nor a package's."""
    inner = frame
    while frame is not None and frame.f_code.co_filename.startswith((*_LIBRARIES, "<frozen")):
        frame = frame.f_back
    frame = frame or inner
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}" if frame else "an unknown place"
