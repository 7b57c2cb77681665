"""When traffic is offered, and how much: told the time, without clock or socket.

In: a source, the time since it began. Out: flows of a Poisson process, or bytes that are due. Owns each
source's random numbers: the same seed gives the same flows at the same times.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from workloads.traffic.config import Source

_CHUNK_BYTES = 6000  # what a paced source sends at once, about: four wire packets
_PERIOD_S = 0.001, 0.05  # between two chunks, at least and at most


class Arrival(NamedTuple):
    """A flow of `size_bytes` to the peer of that number, `at_s` after the source began."""

    at_s: float
    peer: int
    size_bytes: int


class FlowSizes:
    """Draws sizes of a distribution: `points` of its cumulative distribution function, linear between."""

    def __init__(self, points: tuple[tuple[int, float], ...]) -> None:
        self._points = points
        self._shares = [share for _, share in points]
        self.mean_bytes = sum((b[1] - a[1]) * (a[0] + b[0]) / 2 for a, b in pairwise(points))

    def draw(self, chance: random.Random) -> int:
        """Bytes, at least one."""
        share = chance.random()
        at = max(1, bisect_left(self._shares, share))
        (low, low_share), (high, high_share) = self._points[at - 1 : at + 1]
        part = (share - low_share) / (high_share - low_share) if high_share > low_share else 1.0
        return max(1, round(low + part * (high - low)))


class Poisson:
    """Flows whose arrivals are independent of each other: gaps are exponentially distributed."""

    def __init__(self, source: Source) -> None:
        self._chance = random.Random(source.seed)
        self._sizes = FlowSizes(source.sizes)
        self._peers = len(source.peers)
        self._per_s = source.rate_bps / 8 / self._sizes.mean_bytes
        self.next_s = self._chance.expovariate(self._per_s)

    def take(self, now_s: float) -> Iterator[Arrival]:
        """Those up to now."""
        while self.next_s <= now_s:
            yield Arrival(self.next_s, self._chance.randrange(self._peers), self._sizes.draw(self._chance))
            self.next_s += self._chance.expovariate(self._per_s)


class Paced:
    """Bytes at an even rate: always, or of on-off by turns. A source is off first for a random part of a
    turn, so that sources are not in step."""

    def __init__(self, source: Source) -> None:
        self._bytes_per_s = source.rate_bps / 8 / len(source.peers)
        self._on_s, self._off_s = source.on_s, source.off_s
        if source.kind == "constant":
            self._on_s, self._off_s = 1.0, 0.0
        turn_s = self._on_s + self._off_s
        self._begins_s = random.Random(source.seed).random() * turn_s if self._off_s else 0.0
        self._period_s = min(max(_CHUNK_BYTES / self._bytes_per_s, _PERIOD_S[0]), _PERIOD_S[1])
        self.next_s = self._begins_s

    def due(self, now_s: float) -> int:
        """Bytes that have been offered up to now, to each peer."""
        turns, into_s = divmod(max(0.0, now_s - self._begins_s), self._on_s + self._off_s)
        return int((turns * self._on_s + min(into_s, self._on_s)) * self._bytes_per_s)

    def rest(self, now_s: float) -> None:
        """Sets `next_s`, when `due` will have grown by a chunk."""
        turns, into_s = divmod(max(0.0, now_s - self._begins_s), self._on_s + self._off_s)
        self.next_s = now_s + self._period_s
        if self._off_s and into_s >= self._on_s:
            self.next_s = self._begins_s + (turns + 1) * (self._on_s + self._off_s) + self._period_s
        elif self._off_s and into_s + self._period_s > self._on_s:
            self.next_s = math.nextafter(now_s + self._on_s - into_s, math.inf)
        self.next_s = max(self.next_s, self._begins_s)
