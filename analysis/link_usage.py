"""What each direction of each link carried: a row of link_usage.csv, and rows put together.

In: cells; rows. Out: checked records; the mean use of each direction, by path. Owns the file's columns and
their ranges; analysis/rows.py reads it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from analysis.rows import Count, Seconds
from analysis.wire import wire_bytes

NAME = "link_usage.csv"
_SHORTEST_S = 1e-9


class LinkUsage(msgspec.Struct, frozen=True):
    """One direction of a link in one trial, between two interfaces. Units are in the names. `timed_s`: the
    timed parts of the trial's `iterations`, together. A super-packet is one packet with one header.
    `asked_bps`: 0 for none. `dropped_packets`: None of an earlier version."""

    path: str
    size_bytes: Count
    repetition: Count
    sender: str
    receiver: str
    timed_s: Seconds
    iterations: Count
    sent_bytes: Count
    sent_packets: Count
    asked_bps: Count
    mtu: Count
    dropped_packets: Count | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One direction of a link on one path. `rate_bps`: bits of whole wire packets a second of the timed
    parts, the mean over repetitions. `share`: of what was asked; None where nothing was."""

    path: str
    sender: str
    receiver: str
    asked_bps: int
    sent_bytes: int
    rate_bps: float

    @property
    def share(self) -> float | None:
        return self.rate_bps / self.asked_bps if self.asked_bps else None


def uses(rows: Iterable[LinkUsage]) -> list[Use]:
    """Of each path's largest size, all repetitions together, in the rows' order."""
    timed = [row for row in rows if row.timed_s >= _SHORTEST_S]
    largest: dict[str, int] = {}
    for row in timed:
        largest[row.path] = max(row.size_bytes, largest.get(row.path, 0))
    groups: dict[tuple[str, str, str], list[LinkUsage]] = {}
    for row in timed:
        if row.size_bytes == largest[row.path]:
            groups.setdefault((row.path, row.sender, row.receiver), []).append(row)
    return [_use(group) for group in groups.values()]


def busiest(found: Sequence[Use], count: int) -> list[Use]:
    """Those next to their limit first: links with a rate by their share of it, then others by their rate."""
    return sorted(found, key=lambda use: (use.share or 0.0, use.rate_bps), reverse=True)[:count]


def link_drops(rows: Iterable[LinkUsage], is_of: Callable[[LinkUsage], bool]) -> int | None:
    """Packets that the queues of all links dropped in those trials; None if that was not recorded."""
    counts = [row.dropped_packets for row in rows if is_of(row)]
    known = [count for count in counts if count is not None]
    return sum(known) if counts and len(known) == len(counts) else None


def _use(rows: Sequence[LinkUsage]) -> Use:
    first = rows[0]
    bits = 8 * sum(wire_bytes(row.sent_bytes, row.sent_packets, row.mtu) for row in rows)
    rate = bits / sum(row.timed_s for row in rows)
    sent = sum(row.sent_bytes for row in rows)
    return Use(first.path, first.sender, first.receiver, first.asked_bps, sent, rate)
