"""What a sweep asks of whatever runs its cells, on this machine or on others.

In: jobs. Out: events. Owns their shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class RunnerError(RuntimeError):
    """No cell can be run any more; str() is one sentence."""


class Job(msgspec.Struct, frozen=True):
    """A run of a cell. `run`: the name of its directory. `words`: its options."""

    cell: str
    run: str
    words: tuple[str, ...]


class Began(msgspec.Struct, frozen=True):
    """It runs, on that machine."""

    cell: str
    machine: str
    node: str = ""


class Ended(msgspec.Struct, frozen=True):
    """It has ended, and its directory is there. `reason`: one sentence, "" if all went well."""

    cell: str
    seconds: float
    reason: str = ""


class Lost(msgspec.Struct, frozen=True):
    """What ran it is no more; whether it would have gone well is not known."""

    cell: str
    reason: str


Event = Began | Ended | Lost


class Runner(Protocol):
    """Every method raises RunnerError. What still runs when it is closed is ended in order."""

    @property
    def places(self) -> int:
        """How many cells may run at once, now."""

    def start(self, job: Job) -> None: ...

    def events(self) -> Sequence[Event]:
        """What has happened; waits a moment if nothing has."""

    def close(self) -> None: ...
