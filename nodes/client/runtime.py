"""Time, threads and waiting for application code, from one object, so that a simulation can stand in.

In: nothing. Out: the clock, and what runs and waits by it. `Runtime` is what code is written against;
`MachineRuntime` has the machine's CLOCK_MONOTONIC and threads. Owns nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Task(Protocol):
    """A function that runs beside its caller."""

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until it has returned, `timeout_s` seconds at most."""


class Condition(Protocol):
    """What the methods of threading.Condition do."""

    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
    def wait_for(self, predicate: Callable[[], object], timeout: float | None = None, /) -> object: ...
    def notify_all(self) -> None: ...


class Runtime(Protocol):
    """Clock, sleep, spawn and wait. Times are in seconds."""

    def monotonic(self) -> float:
        """A clock that never goes backwards; only differences mean anything."""

    def process_time(self) -> float:
        """CPU seconds of this process, all its threads together."""

    def sleep(self, seconds: float, /) -> None: ...
    def spawn(self, function: Callable[[], None], name: str) -> Task:
        """Run `function` beside the caller; it does not keep the process from ending."""

    def condition(self) -> Condition: ...


class MachineRuntime:
    """Threads, and CLOCK_MONOTONIC."""

    # The functions themselves: a call costs what theirs costs.
    monotonic = staticmethod(time.monotonic)
    process_time = staticmethod(time.process_time)
    sleep = staticmethod(time.sleep)
    condition = staticmethod(threading.Condition)

    def spawn(self, function: Callable[[], None], name: str) -> Task:
        thread = _Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread


class _Thread(threading.Thread):
    def join(self, timeout_s: float | None = None) -> None:
        super().join(timeout_s)
