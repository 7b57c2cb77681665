"""What was offered and what was delivered: counts, and completion times as a histogram.

In: flows that begin, bytes that arrive, flows that end. Out: a `Report`, which crosses processes as JSON, and
percentiles. Owns the classes of sizes and the width of a histogram's bar. A run of any length needs the same
memory; a percentile is within 1 % of the exact one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

SMALL_BYTES, LARGE_BYTES = 100_000, 10_000_000  # between the classes in which papers give completion times
CLASSES = ("small", "medium", "large")
ENDLESS = "endless"  # of constant and on-off
_BAR = math.log(1.02)  # a bar's upper end over its lower


def size_class(size_bytes: int) -> str:
    """Of a flow; 0: it has no end."""
    if not size_bytes:
        return ENDLESS
    return CLASSES[(size_bytes > SMALL_BYTES) + (size_bytes > LARGE_BYTES)]


class Times(msgspec.Struct):
    """`bars`: how many times fell into each, by number."""

    bars: dict[int, int] = msgspec.field(default_factory=dict)
    count: int = 0

    def add(self, seconds: float) -> None:
        bar = math.floor(math.log(max(seconds, 1e-9)) / _BAR)
        self.bars[bar] = self.bars.get(bar, 0) + 1
        self.count += 1

    def percentile(self, share: float) -> float | None:
        """Seconds of the nearest rank, the middle of its bar; None: no time was added."""
        rank = max(1, math.ceil(share * self.count))
        for bar in sorted(self.bars):
            rank -= self.bars[bar]
            if rank <= 0:
                return math.exp((bar + 0.5) * _BAR)
        return None


def merged(parts: Iterable[Times]) -> Times:
    """All of them together."""
    total = Times()
    for part in parts:
        for bar, count in part.bars.items():
            total.bars[bar] = total.bars.get(bar, 0) + count
        total.count += part.count
    return total


class Offered(msgspec.Struct):
    """What a host sent, or would have, to `peer` (an address). `refused`: flows that were not begun, since
    too many were under way; their bytes are not offered."""

    entry: int
    peer: str
    sizes: str
    flows: int = 0
    bytes: int = 0
    refused: int = 0
    failed: int = 0


class Delivered(msgspec.Struct):
    """What a host received from `peer`. `times`: of the flows that were completed, from the attempt to
    connect until the last byte arrived."""

    entry: int
    peer: str
    sizes: str
    bytes: int = 0
    times: Times = msgspec.field(default_factory=Times)


class Report(msgspec.Struct):
    """Of one host. `seconds`: how long it offered traffic."""

    seconds: float
    offered: list[Offered]
    delivered: list[Delivered]


class Tally:
    """Both sides of one host."""

    def __init__(self) -> None:
        self._offered: dict[tuple[int, str, str], Offered] = {}
        self._delivered: dict[tuple[int, str, str], Delivered] = {}

    def offered(self, entry: int, peer: str, size_bytes: int) -> Offered:
        """The counts of flows of that size's class."""
        key = entry, peer, size_class(size_bytes)
        return self._offered.setdefault(key, Offered(*key))

    def delivered(self, entry: int, peer: str, size_bytes: int) -> Delivered:
        key = entry, peer, size_class(size_bytes)
        return self._delivered.setdefault(key, Delivered(*key))

    def report(self, seconds: float) -> Report:
        return Report(seconds, list(self._offered.values()), list(self._delivered.values()))
