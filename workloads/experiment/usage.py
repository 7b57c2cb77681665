"""How much of this machine and of the links a trial used: of these figures follows whether a number is the
network's.

In: readings of the kernel's counters, taken while a trial ran; the trial's rows. Out: rows of usage.csv;
pure. Owns the file's columns and what is counted of a reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec

from workloads.experiment.memory_counters import MovedByMachine
from workloads.experiment.proc import CoreTime, Sent
from workloads.experiment.records import Sample, Trial


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One row of usage.csv: a process, a core or a link in one trial. Its fields are the columns, in order.
    None: the column is not about this kind."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "the trial's size; of a stream that of a message"]
    repetition: Annotated[int, "", "as in samples.csv"]
    kind: Annotated[str, "", "`process`, `core` or `link`"]
    name: Annotated[
        str, "",
        "HOST:rankN, HOST:endpoint, HOST:traffic, a core's name in /proc/stat, or the interface that sends",
    ]
    timed_s: Annotated[
        float, "s",
        "the timed parts of all iterations together, warm-up included, each from its first rank's start to "
        "its last rank's end",
    ]
    iterations: Annotated[int, "", "how many"]
    readings: Annotated[int, "", "how many readings fell within the timed parts"]
    observed_s: Annotated[float, "s", "between the readings around the timed parts"]
    busy_s: Annotated[
        float | None, "s",
        "CPU time: of a rank or endpoint in the timed parts, of a core or another process between these "
        "readings",
    ] = None
    wait_s: Annotated[
        float | None, "s",
        "of a process: how long its threads waited for a CPU between these readings, all together",
    ] = None
    steal_s: Annotated[
        float | None, "s", "of a core: what a hypervisor gave to others between these readings"
    ] = None
    bytes: Annotated[
        int | None, "B", "of a link: what the interface sent in the trial, a super-packet with one header"
    ] = None
    packets: Annotated[int | None, "packets", "likewise, a super-packet as one"] = None
    rate_bps: Annotated[int | None, "bit/s", "asked of the link"] = None
    burst_bytes: Annotated[int | None, "B", "what its token bucket lets pass at once"] = None
    mtu: Annotated[int | None, "B", "of an IP packet"] = None


class WatchedProcess(NamedTuple):
    """`host` and `part`: the process of a rank ("rank0"), whose number is `rank`, a host's endpoint
    ("endpoint"), or its background traffic ("traffic")."""

    host: str
    part: str
    pid: int
    rank: int | None = None

    @property
    def name(self) -> str:
        return f"{self.host}:{self.part}"


class WatchedLink(NamedTuple):
    """One direction of a link that has a rate: the interface that sends, `pid` of a process in its network
    namespace. What its token bucket lets pass at once is `burst_bytes`."""

    interface: str
    pid: int
    rate_bps: int
    burst_bytes: int
    mtu: int


class Watched(NamedTuple):
    processes: tuple[WatchedProcess, ...]
    links: tuple[WatchedLink, ...]


class Reading(NamedTuple):
    """Counters at one moment, Unix time: of cores, by name; of processes (CPU seconds, and seconds in which a
    thread waited for a CPU) and of links in their order; of the machine's memory controllers, if it tells."""

    at_s: float
    cores: dict[str, CoreTime]
    processes: tuple[tuple[float, float], ...]
    links: tuple[Sent, ...]
    memory: MovedByMachine | None = None


Window = tuple[float, float]


def windows(samples: Sequence[Sample]) -> list[Window]:
    """The timed part of each iteration: from its first rank's start until its last rank's end."""
    of_iteration: dict[int, list[Sample]] = {}
    for sample in samples:
        of_iteration.setdefault(sample.iteration, []).append(sample)
    return [(min(s.start_s for s in rows), max(s.end_s for s in rows)) for rows in of_iteration.values()]


def usage(
    trial: Trial, samples: Sequence[Sample], watched: Watched, readings: Sequence[Reading]
) -> list[Usage]:
    """The rows of a trial. CPU time, waits and stolen time are those of all pairs of readings between which
    a timed part lies: never less than what the timed parts had. Links' bytes are the whole trial's."""
    timed = windows(samples)
    pairs = around(timed, readings)
    row = {
        "path": trial.path,
        "size_bytes": trial.size_bytes,
        "repetition": trial.repetition,
        "timed_s": sum(end - start for start, end in timed),
        "iterations": len(timed),
        "readings": sum(any(start <= each.at_s <= end for start, end in timed) for each in readings),
        "observed_s": sum(b.at_s - a.at_s for a, b in pairs),
    }
    return [
        Usage(**row, kind=kind, name=name, **figures)  # type: ignore[arg-type]
        for kind, name, figures in (
            *_processes(samples, watched, pairs),
            *_cores(readings, pairs),
            *_links(watched, readings),
        )
    ]


def around(timed: Sequence[Window], readings: Sequence[Reading]) -> list[tuple[Reading, Reading]]:
    """Readings that follow each other, and between which a part of these times lies."""
    return [pair for pair in pairwise(readings) if any(_meet(*pair, each) for each in timed)]


Pairs = Sequence[tuple[Reading, Reading]]
Figures = Iterator[tuple[str, str, dict[str, float | int]]]


def _processes(samples: Sequence[Sample], watched: Watched, pairs: Pairs) -> Figures:
    for at, process in enumerate(watched.processes):
        busy = sum(b.processes[at][0] - a.processes[at][0] for a, b in pairs)
        wait = sum(b.processes[at][1] - a.processes[at][1] for a, b in pairs)
        own = _own_cpu_s(samples, process)
        yield "process", process.name, {"busy_s": busy if own is None else own, "wait_s": wait}


def _cores(readings: Sequence[Reading], pairs: Pairs) -> Figures:
    for name in readings[0].cores:
        changes = [(b.cores[name], a.cores[name]) for a, b in pairs if name in a.cores and name in b.cores]
        busy = sum(after.busy_s - before.busy_s for after, before in changes)
        steal = sum(after.steal_s - before.steal_s for after, before in changes)
        yield (
            "core",
            name,
            {"busy_s": max(0.0, busy), "steal_s": max(0.0, steal)},
        )  # Linux lets them step back


def _links(watched: Watched, readings: Sequence[Reading]) -> Figures:
    for at, link in enumerate(watched.links):
        first, last = readings[0].links[at], readings[-1].links[at]
        yield (
            "link",
            link.interface,
            {
                "bytes": last.bytes - first.bytes,
                "packets": last.packets - first.packets,
                "rate_bps": link.rate_bps,
                "burst_bytes": link.burst_bytes,
                "mtu": link.mtu,
            },
        )


def _own_cpu_s(samples: Sequence[Sample], process: WatchedProcess) -> float | None:
    """CPU time of the timed parts alone, without what readings see of filling and checking; None if the
    process is no rank's of this trial, nor its endpoint's."""
    rows = [sample for sample in samples if sample.host == process.host]
    if not rows or process.part == "traffic":
        return None
    if process.rank is None:
        return sum(row.endpoint_cpu_s for row in rows)
    return sum(row.app_cpu_s for row in rows if row.rank == process.rank)


def _meet(a: Reading, b: Reading, window: Window) -> bool:
    return a.at_s < window[1] and b.at_s > window[0]
