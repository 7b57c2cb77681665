"""How much each direction of each link carried in a trial.

In: the counters of the interfaces that send, before a trial and after it; the trial's rows. Out: rows of
link_usage.csv. Owns the file's columns. The counters are the kernel's, so they are of all paths alike, and
they are read twice a trial: a network of any size is measured without a cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from workloads.experiment.proc import Sent, sent_by
from workloads.experiment.records import Sample, Trial
from workloads.experiment.usage import windows

_PROC = Path("/proc")


class LinkUsage(msgspec.Struct, frozen=True):
    """One row: one direction of a link in one trial, between two interfaces. Its fields are the columns, in
    order. `timed_s`: the timed parts of all `iterations`, warm-up included; what was sent, and what
    the queue in front of the link dropped, is the whole trial's."""

    path: Annotated[str, "", "as in samples.csv"]
    size_bytes: Annotated[int, "B", "the trial's size; of a stream that of a message"]
    repetition: Annotated[int, "", "as in samples.csv"]
    sender: Annotated[str, "", "the interface that sends"]
    receiver: Annotated[str, "", "the interface at the link's other end"]
    timed_s: Annotated[float, "s", "as in usage.csv"]
    iterations: Annotated[int, "", "as in usage.csv"]
    sent_bytes: Annotated[
        int, "B",
        "what the interface sent in the trial, a super-packet with one header; what a relay loses is among "
        "it",
    ]
    sent_packets: Annotated[int, "packets", "likewise, a super-packet as one"]
    asked_bps: Annotated[
        int, "bit/s", "the link's rate, 0 for none; a fault that changes the rate does not change it"
    ]
    mtu: Annotated[int, "B", "of an IP packet"]
    dropped_packets: Annotated[
        int, "packets",
        "dropped by the queue in front of the link, which a link with a rate has; not what is lost on a "
        "link on purpose, nor what a queue that marks (`ecn`) drops. Runs of earlier versions lack it",
    ]


class LinkCounts(NamedTuple):
    """`sent` by each direction so far, in their order; packets `dropped` by the queue of each interface that
    has one."""

    sent: Sequence[Sent]
    dropped: Mapping[str, int]


class LinkDirection(NamedTuple):
    """Two interfaces, `pid` of a process in the sender's network namespace; `asked_bps` 0 for none."""

    sender: str
    receiver: str
    pid: int
    asked_bps: int
    mtu: int


def sent(directions: Sequence[LinkDirection]) -> tuple[Sent, ...]:
    """What each has sent so far. Raises OSError."""
    seen = {
        pid: sent_by((_PROC / str(pid) / "net/dev").read_text()) for pid in {each.pid for each in directions}
    }
    return tuple(seen[each.pid][each.sender] for each in directions)


def link_usage(
    trial: Trial,
    samples: Sequence[Sample],
    directions: Sequence[LinkDirection],
    before: LinkCounts,
    after: LinkCounts,
) -> list[LinkUsage]:
    """The rows of a trial."""
    timed = windows(samples)
    timed_s = sum(end - start for start, end in timed)
    return [
        LinkUsage(
            trial.path,
            trial.size_bytes,
            trial.repetition,
            each.sender,
            each.receiver,
            timed_s,
            len(timed),
            last.bytes - first.bytes,
            last.packets - first.packets,
            each.asked_bps,
            each.mtu,
            # A queue that was replaced meanwhile, as by a fault, began to count again.
            max(0, after.dropped.get(each.sender, 0) - before.dropped.get(each.sender, 0)),
        )
        for each, first, last in zip(directions, before.sent, after.sent, strict=True)
    ]
