"""What each host's ledgers counted over time, and how full its page pools were.

In: during a trial, a function that reads a rank's counters; after it, the readings of all ranks. Out: rows of
ledger.csv, an interval and a host each. Owns the file's columns, the length of the intervals and, while a
trial runs, the thread of a rank that reads. A rank's readings hold what is in its rows of samples.csv: its
own ledgers and its share of its endpoint's. Intervals of all hosts have the same ends; a counter that was
read beside one is interpolated, so the intervals of a trial add up to what was counted, to the byte.
"""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from nodes.client.runtime import Runtime
from workloads.experiment.records import Sample, Trial

INTERVAL_S = 0.1
_INTERVALS = 600  # of one length: those of a long trial become longer, so that their number stays bounded
_JOIN_S = 1.0  # an endpoint that is stopped may not answer the last reading
_ROUNDING_S = 1e-9
_SHORTEST_S = 1e-6  # of an interval, as the file tells times


class LedgerReading(msgspec.Struct, frozen=True):
    """Bytes so far, by nodes.machine.routes.ROUTES, and derived accesses of host DRAM; `at_s` is of the
    machine's monotonic clock. `rx_pool_share`: the highest occupancy of a page pool (0 to 1) since the
    reading before; None: of a rank that does not tell it."""

    at_s: float
    counts: tuple[int, ...]
    derived_bytes: int
    rx_pool_share: float | None = None


class Began(NamedTuple):
    """The moment that a run's times are counted from, by the monotonic clock and as Unix time."""

    monotonic_s: float
    unix_s: float

    @classmethod
    def now(cls) -> Began:
        return cls(time.monotonic(), time.time())


class LedgerRow(msgspec.Struct, frozen=True):
    """One row of ledger.csv: bytes that moved along each route of a host from `begin_s` to `end_s`, seconds
    of a monotonic clock since the run's first trial began; `time_s` is `begin_s` as Unix time. Its fields are
    the columns, in order, and those of the routes are in the order of nodes.machine.routes.ROUTES."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "the trial's size; of a stream that of a message"]
    repetition: Annotated[int, "", "as in samples.csv"]
    host: Annotated[str, "", "name of the host"]
    begin_s: Annotated[
        float, "s", "when the interval began, of a monotonic clock since the run's first trial began"
    ]
    end_s: Annotated[float, "s", "when it ended"]
    time_s: Annotated[float, "s", "when it began, Unix time, as `start_s` of samples.csv"]
    nic_wire_to_host_bytes: Annotated[int, "B", "payload that NICs wrote to host memory"]
    nic_wire_to_device_bytes: Annotated[int, "B", "payload that NICs wrote to an accelerator's memory"]
    nic_wire_to_far_bytes: Annotated[int, "B", "likewise, of an accelerator behind another switch"]
    nic_host_to_wire_bytes: Annotated[int, "B", "payload that NICs read from host memory"]
    nic_device_to_wire_bytes: Annotated[int, "B", "payload that NICs read from an accelerator's memory"]
    nic_far_to_wire_bytes: Annotated[int, "B", "likewise, behind another switch"]
    cpu_host_to_host_bytes: Annotated[int, "B", "payload that the CPU copied between kernel and user memory"]
    acc_device_to_host_bytes: Annotated[int, "B", "payload that accelerators copied to host memory"]
    acc_host_to_device_bytes: Annotated[int, "B", "payload that accelerators copied from host memory"]
    acc_device_to_device_bytes: Annotated[int, "B", "payload that accelerators copied within their memory"]
    acc_core_to_device_bytes: Annotated[int, "B", "what accelerators computed and wrote"]
    acc_device_to_core_bytes: Annotated[int, "B", "what they read to compute"]
    acc_peer_to_device_bytes: Annotated[int, "B", "what accelerators copied from another one of the host"]
    acc_peer_to_core_bytes: Annotated[int, "B", "what they read there to compute"]
    nic_header_in_bytes: Annotated[int, "B", "headers that NICs wrote to host memory"]
    nic_header_out_bytes: Annotated[int, "B", "headers that NICs read from it"]
    cpu_header_read_bytes: Annotated[int, "B", "headers that the CPU read"]
    cpu_header_write_bytes: Annotated[int, "B", "headers that the CPU wrote"]
    ssd_media_to_device_bytes: Annotated[
        int, "B", "payload that SSDs read from their media into their controllers' memory"
    ]
    ssd_device_to_media_bytes: Annotated[int, "B", "payload that they wrote from there to their media"]
    ssd_media_to_host_bytes: Annotated[int, "B", "payload that SSDs read from their media into host memory"]
    ssd_host_to_media_bytes: Annotated[int, "B", "payload that they wrote from host memory to their media"]
    host_dram_derived_bytes: Annotated[
        int, "B", "accesses of host DRAM among all these that were derived, as in samples.csv"
    ]
    rx_pool_peak_share: Annotated[
        float | None,
        "0 to 1",
        "the page pools' occupancy, as in samples.csv, at its highest in the interval. Empty for `kernel`",
    ] = None


class LedgerReader:
    """Reads now and then, in a thread of `runtime`'s, until `read` raises OSError: its endpoint has gone."""

    def __init__(self, runtime: Runtime, read: Callable[[], LedgerReading]) -> None:
        self._runtime = runtime
        self._read = read
        self._changed = runtime.condition()
        self._ended = False

    @contextmanager
    def reading(self) -> Iterator[list[LedgerReading]]:
        """The list is complete when the block has ended well: a reading before it, some within, one after."""
        readings = [self._read()]
        thread = self._runtime.spawn(lambda: self._read_on(readings), "ledger")
        try:
            yield readings
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            thread.join(_JOIN_S)
        readings.append(self._read())

    def _read_on(self, readings: list[LedgerReading]) -> None:
        began_s = readings[0].at_s
        while not self._ends_within(began_s):
            try:
                reading = self._read()
            except OSError:
                return
            readings.append(reading)

    def _ends_within(self, began_s: float) -> bool:
        """Whether the block ends before the next reading is due, which is waited for."""
        elapsed_s = self._runtime.monotonic() - began_s
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, next_end_s(elapsed_s) - elapsed_s)


def next_end_s(elapsed_s: float) -> float:
    """The first end of an interval after so many seconds of a trial."""
    length_s = INTERVAL_S
    while elapsed_s + _ROUNDING_S >= _INTERVALS * length_s:
        length_s *= 2
    return (math.floor((elapsed_s + _ROUNDING_S) / length_s) + 1) * length_s


def ledger_rows(
    trial: Trial, samples: Sequence[Sample], readings: Sequence[Sequence[LedgerReading]], began: Began
) -> list[LedgerRow]:
    """The rows of a trial. `readings`: of each rank, by its number."""
    first_s = min(each[0].at_s for each in readings)
    ends = [first_s, *_ends(first_s, max(each[-1].at_s for each in readings))]
    host_of = {sample.rank: sample.host for sample in samples}
    rows = []
    for host in dict.fromkeys(host_of[rank] for rank in sorted(host_of)):
        own = [each for rank, each in enumerate(readings) if host_of.get(rank) == host]
        counted, occupied = sum(_counted(each, ends) for each in own), _occupied(own, ends)
        for at, counts in enumerate(np.diff(counted, axis=0).tolist()):
            begin_s, end_s = (each - began.monotonic_s for each in ends[at : at + 2])
            of = trial.path, trial.size_bytes, trial.repetition, host
            times = round(begin_s, 6), round(end_s, 6), round(began.unix_s + begin_s, 6)
            rows.append(LedgerRow(*of, *times, *(*counts, occupied[at])))
    return rows


def _ends(begin_s: float, end_s: float) -> Iterator[float]:
    """Of the intervals in between; the last one may be short."""
    elapsed_s, whole_s = 0.0, end_s - begin_s
    while elapsed_s < whole_s:
        elapsed_s = next_end_s(elapsed_s)
        if elapsed_s > whole_s - _SHORTEST_S:
            elapsed_s = whole_s
        yield begin_s + elapsed_s


def _counted(readings: Sequence[LedgerReading], ends: Sequence[float]) -> npt.NDArray[np.int64]:
    """What a rank had counted at each of `ends`, since its first reading: a column a route, and derived
    accesses. Whole bytes."""
    at_s = [each.at_s for each in readings]
    counts = np.array([(*each.counts, each.derived_bytes) for each in readings], dtype=np.float64)
    columns = [np.interp(ends, at_s, column - column[0]) for column in counts.T]
    whole: npt.NDArray[np.int64] = np.rint(np.stack(columns, axis=1)).astype(np.int64)
    return whole


def _occupied(readings: Sequence[Sequence[LedgerReading]], ends: Sequence[float]) -> list[float | None]:
    """The highest occupancy that was read of each interval. What a reading tells is of the time since the one
    before: it counts where more than half of either lies in the other."""
    highest: list[float | None] = [None] * (len(ends) - 1)
    for before, after in itertools.chain.from_iterable(map(itertools.pairwise, readings)):
        share, at = after.rx_pool_share, max(0, bisect.bisect_right(ends, before.at_s) - 1)
        while share is not None and at < len(highest) and ends[at] < after.at_s:
            begin_s, end_s = ends[at : at + 2]
            common_s = min(end_s, after.at_s) - max(begin_s, before.at_s)
            if 2 * common_s > min(end_s - begin_s, after.at_s - before.at_s):
                highest[at] = max(highest[at] or 0.0, share)
            at += 1
    return highest
