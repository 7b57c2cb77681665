"""What the emulated hardware moved: a counter for each route.

In: byte counts of every DMA, copy and computation. Out: a snapshot, which `routes.totals` sums up. Owns the
counters. They are the modelled half of every figure: deterministic, independent of time, and equal to the
closed forms in nodes/README.md.
"""

from __future__ import annotations

from nodes.machine.routes import DRAM_ACCESSES, ROUTES, Moved


class _Counter:
    """Of one route. `dram_accesses`: how often a byte that moves along it accesses host DRAM. Compiled, the
    numbers of a class are quicker to add to than those of a list."""

    __slots__ = ("derived", "dram_accesses", "moved", "uncoalesced")

    def __init__(self, dram_accesses: int) -> None:
        self.dram_accesses = dram_accesses
        self.moved = self.uncoalesced = self.derived = 0


class Ledger:
    """Counters of one process, or of one host. A host's has a part for each of its NICs, whose counters are
    the host's too."""

    __slots__ = ("_counters", "_own_dram_bytes", "_parts")

    def __init__(self) -> None:
        self._counters = [_Counter(accesses) for accesses in DRAM_ACCESSES]  # by the index of ROUTES
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
        total, counters = 0, self._counters
        for route in routes:
            total += counters[route].moved
        return total

    def record(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route`, an index of ROUTES."""
        counter = self._counters[route]
        counter.moved += count
        counter.uncoalesced += count
        self._own_dram_bytes += count * counter.dram_accesses

    def record_header(self, route: int, count: int, wire_packets: int) -> None:
        """A header of `count` bytes was moved once, for a packet that stands for `wire_packets`."""
        counter = self._counters[route]
        counter.moved += count
        counter.uncoalesced += count * wire_packets
        self._own_dram_bytes += count * counter.dram_accesses

    def derive(self, route: int, count: int) -> None:
        """`count` bytes of payload were moved along `route` by a stack that keeps no ledger: Linux's own."""
        counter = self._counters[route]
        counter.derived += count
        self._own_dram_bytes += count * counter.dram_accesses

    def add_to(self, counts: list[int]) -> int:
        """Add the bytes of each route to `counts`, derived ones included; returns the derived accesses of
        host DRAM. Quick, for it is asked many times while others write the ledger."""
        accesses = 0
        for at, counter in enumerate(self._counters):
            counts[at] += counter.moved + counter.derived
            accesses += counter.derived * counter.dram_accesses
        for part in self._parts:
            accesses += part.add_to(counts)
        return accesses

    def snapshot(self) -> tuple[Moved, ...]:
        """All counters that are not zero."""
        moved, derived = [], []
        for at, counter in enumerate(self._counters):
            count, uncoalesced = counter.moved, counter.uncoalesced
            for part in self._parts:
                count += part._counters[at].moved
                uncoalesced += part._counters[at].uncoalesced
            if count:
                moved.append(Moved(ROUTES[at], count, uncoalesced))
            if counter.derived:
                derived.append(Moved(ROUTES[at], counter.derived, counter.derived, derived=True))
        return *moved, *derived
