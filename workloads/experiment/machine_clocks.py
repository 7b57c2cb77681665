"""The clocks of the machines of a run, and times of their rows by one clock: the driver's.

In: what a machine's clocks say when it is asked, the driver's before and after. Out: offsets, rows with the
driver's times. Owns nothing. As in NTP (RFC 5905, section 8), the machine is taken to have looked at its
clocks in the middle of the round trip: the offset is wrong by half of the round trip at most. Of several
questions the one with the shortest round trip counts. Clocks drift apart, so each machine is asked before a
trial and after it, and rows of the trial are between two offsets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import Sample

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_DRIFT_MAX = 0.1  # chrony slews a clock by 8.3 % at most, unless it is told to (maxslewrate), the kernel less


class ClockReading(NamedTuple):
    """`clock`: whose clocks they are. Seconds of the monotonic clock, and Unix time."""

    clock: str
    monotonic_s: float
    unix_s: float

    @classmethod
    def now(cls) -> ClockReading:
        clock = _BOOT.read_text().strip()
        with suppress(OSError):
            clock += os.readlink("/proc/self/ns/time")
        return cls(clock, time.monotonic(), time.time())


class ClockOffset(msgspec.Struct, frozen=True):
    """A machine's clocks less the driver's, each wrong by `uncertainty_s` at most, when the machine's said
    `monotonic_at_s` and `unix_at_s`."""

    monotonic_s: float = 0.0
    unix_s: float = 0.0
    uncertainty_s: float = 0.0
    monotonic_at_s: float = 0.0
    unix_at_s: float = 0.0


def offset(
    ask: Callable[[], ClockReading], times: int, now: Callable[[], ClockReading] | None = None
) -> ClockOffset:
    """Of the machine that `ask` asks, so many times. `now`: this process's clocks."""
    now, found = now or ClockReading.now, []
    for _ in range(times):
        before, there, after = now(), ask(), now()
        if there.clock == before.clock:
            return ClockOffset()
        found.append(
            ClockOffset(
                there.monotonic_s - (before.monotonic_s + after.monotonic_s) / 2,
                there.unix_s - (before.unix_s + after.unix_s) / 2,
                (after.monotonic_s - before.monotonic_s) / 2,
                there.monotonic_s,
                there.unix_s,
            )
        )
    return min(found, key=lambda each: each.uncertainty_s)


class ClockCourse(NamedTuple):
    """A clock of a machine in a trial: it is `offset_s` ahead of the driver's when it says `at_s`, and
    `drift` more for each of its seconds. That is wrong by `uncertainty_s` at most if the drift is even."""

    offset_s: float = 0.0
    at_s: float = 0.0
    drift: float = 0.0
    uncertainty_s: float = 0.0

    def to_driver(self, time_s: float) -> float:
        return time_s - self.offset_s - self.drift * (time_s - self.at_s)

    def to_machine(self, time_s: float) -> float:
        ahead_s = time_s + self.offset_s
        return ahead_s + (ahead_s - self.at_s) * self.drift / (1 - self.drift)


class MachineClocks(NamedTuple):
    """Those of a machine in a trial."""

    monotonic: ClockCourse = ClockCourse()
    unix: ClockCourse = ClockCourse()

    @classmethod
    def between(cls, before: ClockOffset, after: ClockOffset) -> MachineClocks:
        """`before` and `after` the trial."""
        looks = before, after
        return cls(
            _course([(each.monotonic_at_s, each.monotonic_s, each.uncertainty_s) for each in looks]),
            _course([(each.unix_at_s, each.unix_s, each.uncertainty_s) for each in looks]),
        )

    @property
    def uncertainty_s(self) -> float:
        return max(self.monotonic.uncertainty_s, self.unix.uncertainty_s)


def _course(looks: Sequence[tuple[float, float, float]]) -> ClockCourse:
    """Of when, the offset, and what that is wrong by at most, twice. A difference of the offsets that both
    may be wrong by is no drift: over a short trial it would be a large one, and would stretch durations. Nor
    is one that no slewing makes: then a clock was set, nobody knows when."""
    (first_s, first_offset_s, first_wrong_s), (last_s, last_offset_s, last_wrong_s) = looks
    more_s, wrong_s = last_offset_s - first_offset_s, max(first_wrong_s, last_wrong_s)
    if first_wrong_s + last_wrong_s < abs(more_s) < _DRIFT_MAX * (last_s - first_s):
        return ClockCourse(first_offset_s, first_s, more_s / (last_s - first_s), wrong_s)
    at_s, offset_s, _ = min(looks, key=lambda each: each[2])
    return ClockCourse(offset_s, at_s, 0.0, abs(more_s) + wrong_s)


def by_driver(rows: Rows, clocks: Sequence[MachineClocks]) -> Rows:
    """`clocks`: of the machine of each rank, by number."""
    replace = msgspec.structs.replace
    return Rows(
        tuple(_moved(each, clocks[each.rank].unix.to_driver) for each in rows.samples),
        tuple(
            replace(each, begin_s=to_driver(each.begin_s), end_s=to_driver(each.end_s))
            for each in rows.operations
            for to_driver in (clocks[each.rank].monotonic.to_driver,)
        ),
        tuple(replace(each, time_s=clocks[each.rank].unix.to_driver(each.time_s)) for each in rows.tcp_info),
        tuple(
            tuple(replace(each, at_s=clocks[rank].monotonic.to_driver(each.at_s)) for each in readings)
            for rank, readings in enumerate(rows.readings)
        ),
    )


def by_machine(samples: Sequence[Sample], clocks: MachineClocks) -> tuple[Sample, ...]:
    """Rows that `by_driver` has made, by their own machine's clock again."""
    return tuple(_moved(each, clocks.unix.to_machine) for each in samples)


def _moved(sample: Sample, to: Callable[[float], float]) -> Sample:
    return msgspec.structs.replace(sample, start_s=to(sample.start_s), end_s=to(sample.end_s))
