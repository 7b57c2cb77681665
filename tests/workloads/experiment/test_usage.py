"""What a trial used: readings around the timed parts, and the links' bytes of the whole trial."""

from __future__ import annotations

import os
from typing import get_type_hints

import msgspec
import pytest

from workloads.experiment.observer import Observer
from workloads.experiment.proc import CoreTime, Sent
from workloads.experiment.records import Sample, Trial
from workloads.experiment.usage import (
    Reading,
    Usage,
    Watched,
    WatchedLink,
    WatchedProcess,
    usage,
    windows,
)

TRIAL = Trial("devmem", 4096, 1)
WATCHED = Watched(
    (
        WatchedProcess("h1", "rank0", 1, 0),
        WatchedProcess("h1", "endpoint", 2),
        WatchedProcess("h9", "endpoint", 3),
    ),
    (WatchedLink("h1-eth0", 1, 10**9, 73728, 1500),),
)


def sample(iteration: int, start_s: float, end_s: float, host: str = "h1") -> Sample:
    given = {"host": host, "iteration": iteration, "start_s": start_s, "end_s": end_s}
    kinds = get_type_hints(Sample).items()
    fields = {name: "x" if kind is str else 0.25 if kind is float else 0 for name, kind in kinds}
    return msgspec.convert(fields | given, Sample)


def reading(at_s: float, cpu_s: float, wait_s: float, sent: int = 0) -> Reading:
    each = (cpu_s, wait_s)
    return Reading(
        at_s, {"cpu0": CoreTime(cpu_s, wait_s / 10)}, (each, each, each), (Sent(sent, sent // 100),)
    )


READINGS = [
    reading(0.0, 0.0, 0.0),
    reading(10.0, 5.0, 1.0, 1000),  # before the first timed part
    reading(20.0, 8.0, 3.0, 3000),
    reading(30.0, 8.5, 3.5, 5000),
    reading(40.0, 50.0, 20.0, 6000),  # after the last one
]
SAMPLES = [sample(0, 11.0, 14.0), sample(0, 12.0, 15.0, "h2"), sample(1, 18.0, 24.0)]


def by_name(rows: list[Usage]) -> dict[str, Usage]:
    return {row.name: row for row in rows}


def test_the_timed_part_is_from_the_first_ranks_start_to_the_last_ones_end() -> None:
    assert windows(SAMPLES) == [(11.0, 15.0), (18.0, 24.0)]


def test_only_what_lies_between_readings_around_a_timed_part_counts() -> None:
    found = by_name(usage(TRIAL, SAMPLES, WATCHED, READINGS))
    assert found.keys() == {"h1:rank0", "h1:endpoint", "h9:endpoint", "cpu0", "h1-eth0"}
    for row in found.values():
        assert (row.path, row.size_bytes, row.repetition) == ("devmem", 4096, 1)
        assert (row.timed_s, row.iterations, row.readings, row.observed_s) == (10.0, 2, 1, 20.0)
    other = found["h9:endpoint"]  # no rank told of it
    assert (other.kind, other.busy_s, other.wait_s) == ("process", 3.5, 2.5)
    core = found["cpu0"]
    assert (core.kind, core.busy_s) == ("core", 3.5)
    assert core.steal_s == pytest.approx(0.25)


def test_a_ranks_own_clock_leaves_out_filling_and_checking() -> None:
    found = by_name(usage(TRIAL, SAMPLES, WATCHED, READINGS))
    for name in ("h1:rank0", "h1:endpoint"):  # 0.25 s in each of the two rows of h1
        assert (found[name].busy_s, found[name].wait_s) == (0.5, 2.5)


def test_a_rank_has_its_own_clock_beside_the_other_ranks_of_its_host() -> None:
    two = [*SAMPLES, msgspec.structs.replace(SAMPLES[0], rank=1, app_cpu_s=9.0, endpoint_cpu_s=0.0)]
    found = by_name(usage(TRIAL, two, WATCHED, READINGS))
    assert (found["h1:rank0"].busy_s, found["h1:endpoint"].busy_s) == (0.5, 0.5)


def test_background_traffic_has_what_was_read_of_it_beside_a_rank_too() -> None:
    watched = WATCHED._replace(
        processes=(*WATCHED.processes[:2], WatchedProcess("h1", "traffic", 3)),
    )
    found = by_name(usage(TRIAL, SAMPLES, watched, READINGS))["h1:traffic"]
    assert (found.kind, found.busy_s, found.wait_s) == ("process", 3.5, 2.5)


def test_a_links_bytes_are_the_whole_trials() -> None:
    link = by_name(usage(TRIAL, SAMPLES, WATCHED, READINGS))["h1-eth0"]
    assert (link.kind, link.bytes, link.packets) == ("link", 6000, 60)
    assert (link.rate_bps, link.burst_bytes, link.mtu) == (10**9, 73728, 1500)


def test_a_core_that_was_switched_off_or_counts_backwards_is_not_negative() -> None:
    later = READINGS[3]._replace(cores={"cpu1": CoreTime(1.0, 0.0)})
    back = READINGS[2]._replace(cores={"cpu0": CoreTime(4.0, 0.0)})
    core = by_name(usage(TRIAL, SAMPLES, WATCHED, [*READINGS[:2], back, later]))["cpu0"]
    assert (core.busy_s, core.steal_s) == (0.0, 0.0)


def test_an_observer_reads_before_and_after_and_survives_the_end_of_a_process() -> None:
    gone = WatchedProcess("h1", "rank0", 1 << 30, 0)
    own = WatchedProcess("h2", "rank1", os.getpid(), 1)
    with Observer(Watched((gone, own), (WatchedLink("lo", os.getpid(), 1, 1, 1),))).observing() as readings:
        at_first = len(readings)
    assert at_first == 1
    assert len(readings) >= 2
    assert [each.at_s for each in readings] == sorted(each.at_s for each in readings)
    assert readings[-1].processes[0] == (0.0, 0.0)
    assert readings[-1].processes[1][0] > 0
