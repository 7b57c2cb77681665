"""What the emulated hardware moved: a counter for each route.

In: byte counts of every DMA, copy and computation. Out: a snapshot, which `routes.totals` sums up. Owns the
counters. They are the modelled half of every figure: deterministic, independent of time, and equal to the
closed forms in nodes/README.md.
"""

from __future__ import annotations

import operator

from nodes.machine.routes import DRAM_ACCESSES, ROUTES, Moved


class Ledger:
    """Counters of one process, or of one host. A host's has a part for each of its NICs, whose counters are
    the host's too."""

    __slots__ = ("_bytes", "_derived", "_own_dram_bytes", "_parts", "_uncoalesced")

    def __init__(self) -> None:
        self._bytes = [0] * len(ROUTES)
        self._uncoalesced = [0] * len(ROUTES)
        self._derived = [0] * len(ROUTES)
        self._own_dram_bytes = 0
        self._parts: list[Ledger] = []

    def part(self) -> Ledger:
        """A new ledger, all of whose counters belong to this one as well."""
        self._parts.append(Ledger())
        return self._parts[-1]

    @property
    def host_dram_bytes(self) -> int:
        """Reads and writes of host DRAM; quick, as the memory bus is charged with it in every turn of the
        event loop."""
        total = self._own_dram_bytes
        for part in self._parts:
            total += part.host_dram_bytes
        return total

    def moved_along(self, routes: tuple[int, ...]) -> int:
        """Bytes along these routes, parts of this ledger left out; quick, as `host_dram_bytes`."""
        total, moved = 0, self._bytes
        for route in routes:
            total += moved[route]
        return total

    def record(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route`, an index of ROUTES."""
        self._bytes[route] += count
        self._uncoalesced[route] += count
        self._own_dram_bytes += count * DRAM_ACCESSES[route]

    def record_header(self, route: int, count: int, wire_packets: int) -> None:
        """A header of `count` bytes was moved once, for a packet that stands for `wire_packets`."""
        self._bytes[route] += count
        self._uncoalesced[route] += count * wire_packets
        self._own_dram_bytes += count * DRAM_ACCESSES[route]

    def derive(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route` by a stack that keeps no ledger: Linux's own."""
        self._derived[route] += count
        self._own_dram_bytes += count * DRAM_ACCESSES[route]

    def add_to(self, counts: list[int]) -> int:
        """Add the bytes of each route to `counts`, derived ones included; returns the derived accesses of
        host DRAM. Quick, for it is asked many times while others write the ledger."""
        for at, (count, derived) in enumerate(zip(self._bytes, self._derived, strict=True)):
            counts[at] += count + derived
        accesses = map(operator.mul, self._derived, DRAM_ACCESSES)
        return sum((*accesses, *(part.add_to(counts) for part in self._parts)), start=0)

    def snapshot(self) -> tuple[Moved, ...]:
        """All counters that are not zero."""
        everything = [self, *self._parts]
        moved = map(sum, zip(*(each._bytes for each in everything), strict=True))
        uncoalesced = map(sum, zip(*(each._uncoalesced for each in everything), strict=True))
        return (
            *(Moved(r, n, u) for r, n, u in zip(ROUTES, moved, uncoalesced, strict=True) if n),
            *(Moved(r, n, n, derived=True) for r, n in zip(ROUTES, self._derived, strict=True) if n),
        )
