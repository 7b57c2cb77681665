"""What application code needs of the world in order to wait: a clock, sleep, threads and locks.

In: seconds, functions. Out: the time, threads, locks. Owns nothing. workloads/ takes these from a Runtime and
from nowhere else: so the same code can also run under a simulated clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Condition(Protocol):
    """A lock whose holder can wait until another thread says that something has changed."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None, /
    ) -> bool | None: ...

    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None, /) -> object:
        """Release the lock and wait until `predicate()` is true; returns its value, which is false when
        `timeout` seconds have passed."""

    def notify_all(self) -> None:
        """Something has changed: every waiting thread looks at its predicate."""


class Thread(Protocol):
    def join(self, timeout_s: float | None = None) -> None:
        """Return when the thread has ended, or after `timeout_s`."""


class Runtime(Protocol):
    """Seconds are of one clock that only goes forward."""

    def monotonic(self) -> float:
        """Now."""

    def cpu_s(self) -> float:
        """Seconds of CPU time that the calling process has used."""

    def sleep(self, seconds: float) -> None: ...

    def spawn(self, function: Callable[[], None], name: str) -> Thread:
        """Run `function` in a thread that does not keep the process from ending. `name` is for messages."""

    def condition(self) -> Condition: ...


class MachineThread:
    """A thread of Python."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def join(self, timeout_s: float | None = None) -> None:
        self._thread.join(timeout_s)


class MachineRuntime:
    """CLOCK_MONOTONIC and threads of Python."""

    def monotonic(self) -> float:
        return time.monotonic()

    def cpu_s(self) -> float:
        return time.process_time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def spawn(self, function: Callable[[], None], name: str) -> MachineThread:
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return MachineThread(thread)

    def condition(self) -> threading.Condition:
        return threading.Condition()


MACHINE = MachineRuntime()
