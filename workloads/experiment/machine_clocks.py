"""The clocks of the machines of a run, and times of their rows by one clock: the driver's.

In: what a machine's clocks say when it is asked, the driver's before and after. Out: offsets, rows with the
driver's times. Owns nothing. As in NTP (RFC 5905, section 8), the machine is taken to have looked at its
clocks in the middle of the round trip: the offset is wrong by half of the round trip at most. Of several
questions the one with the shortest round trip counts.
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
    """A machine's clocks less the driver's, each wrong by `uncertainty_s` at most."""

    monotonic_s: float = 0.0
    unix_s: float = 0.0
    uncertainty_s: float = 0.0


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
            )
        )
    return min(found, key=lambda each: each.uncertainty_s)


def by_driver(rows: Rows, offsets: Sequence[ClockOffset]) -> Rows:
    """`offsets`: of the machine of each rank, by number."""
    replace = msgspec.structs.replace
    return Rows(
        tuple(_shifted(each, -offsets[each.rank].unix_s) for each in rows.samples),
        tuple(
            replace(each, begin_s=each.begin_s - behind, end_s=each.end_s - behind)
            for each in rows.operations
            for behind in (offsets[each.rank].monotonic_s,)
        ),
        tuple(replace(each, time_s=each.time_s - offsets[each.rank].unix_s) for each in rows.tcp_info),
        tuple(
            tuple(replace(each, at_s=each.at_s - offsets[rank].monotonic_s) for each in readings)
            for rank, readings in enumerate(rows.readings)
        ),
    )


def by_machine(samples: Sequence[Sample], of_it: ClockOffset) -> tuple[Sample, ...]:
    """Rows that `by_driver` has made, by their own machine's clock again."""
    return tuple(_shifted(each, of_it.unix_s) for each in samples)


def _shifted(sample: Sample, by_s: float) -> Sample:
    return msgspec.structs.replace(sample, start_s=sample.start_s + by_s, end_s=sample.end_s + by_s)
