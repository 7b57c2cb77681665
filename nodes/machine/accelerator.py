"""The accelerator: memory that it exports as dma-bufs, a copy engine, and the compute that collectives need.

In: ranges of its own memory, received fragments, host memory to copy from or to. Out: results in its memory,
copies in host memory. Owns the dma-bufs that it exported. One of the three places where payload is accessed.
Fragments end anywhere: an element may straddle two of them. Every operation adds to the ledger what the
hardware would have moved. Copies to and from host memory wait for the memory bus, through `turn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodes.machine import dmabuf
from nodes.machine import ledger as routes
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.pace import Pace, paced

Array = NDArray[Any]
ByteRange = tuple[int, int]  # (offset, size) in bytes


class Accelerator:
    """`turn(n)` is called after each operation with n bytes of host DRAM accesses; it may block. `pace`: how
    slow copies and reductions are made on purpose; None: as fast as this machine."""

    def __init__(
        self, ledger: Ledger, turn: Callable[[int], None] = lambda _: None, pace: Pace | None = None
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._turn = turn
        self._memory: list[Region] = []

    def alloc(self, size: int) -> Region:
        """Export `size` bytes of accelerator memory as a dma-buf, which `close` closes."""
        region = dmabuf.export(size)
        self._memory.append(region)
        return region

    def fill(self, memory: Region, offset: int, values: Array) -> None:
        """Compute `values` and write them to `memory` at byte `offset`."""
        count = values.nbytes
        _elements(memory, offset, count, values.dtype)[:] = values
        self._ledger.record(routes.ACC_CORE_TO_DEVICE, count)

    def compare(self, memory: Region, offset: int, expected: Array) -> int:
        """How many elements of `memory`, from byte `offset` on, differ from `expected`. NaN is never
        equal."""
        found = _elements(memory, offset, expected.nbytes, expected.dtype)
        self._ledger.record(routes.ACC_DEVICE_TO_CORE, expected.nbytes)
        return int(np.count_nonzero(found != expected))

    def unpack(self, memory: Region, offset: int, source: Region, frags: Iterable[ByteRange]) -> int:
        """Copy fragments of `source`, in order, to consecutive bytes of `memory` from `offset` on; returns
        how many bytes that were. The copy is within the device and does not touch the host."""
        at = offset
        with paced(self._pace):
            for frag_offset, size in frags:
                memory.view[at : at + size] = source.view[frag_offset : frag_offset + size]
                at += size
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, at - offset)
        return at - offset

    def reduction(self, memory: Region, offset: int, dtype: np.dtype[Any], redop: np.ufunc) -> Reduction:
        """A reduction of a stream of fragments into the elements of `memory` from byte `offset` on."""
        return Reduction(self._ledger, memory, offset, dtype, redop, self._pace)

    def copy_to_host(self, source: Region, offset: int, destination: memoryview) -> None:
        """Copy engine, device to host: len(destination) bytes of `source` from byte `offset` on."""
        count = len(destination)
        with paced(self._pace):
            destination[:] = source.view[offset : offset + count]
        self._ledger.record(routes.ACC_DEVICE_TO_HOST, count)
        self._turn(count)

    def copy_to_device(self, source: memoryview, destination: Region, offset: int) -> None:
        """Copy engine, host to device: all of `source` to `destination` at byte `offset`."""
        with paced(self._pace):
            destination.view[offset : offset + len(source)] = source
        self._ledger.record(routes.ACC_HOST_TO_DEVICE, len(source))
        self._turn(len(source))

    def close(self) -> None:
        """Close all dma-bufs that were exported."""
        for region in self._memory:
            region.close()
        self._memory.clear()


class Reduction:
    """Reduces fragments, in the order of the stream, into consecutive elements of `memory`."""

    def __init__(
        self,
        ledger: Ledger,
        memory: Region,
        offset: int,
        dtype: np.dtype[Any],
        redop: np.ufunc,
        pace: Pace | None = None,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._memory = memory
        self._at = offset
        self._dtype = dtype
        self._redop = redop
        self._carry = b""  # the beginning of an element that the next fragment completes

    def add(self, source: Region, frags: Iterable[ByteRange]) -> int:
        """Reduce these fragments of `source`; returns how many bytes they have."""
        with paced(self._pace):
            total = self._add(source, frags)
        # Both operands are read, the result is written.
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, total)
        self._ledger.record(routes.ACC_DEVICE_TO_CORE, total)
        return total

    def _add(self, source: Region, frags: Iterable[ByteRange]) -> int:
        total = 0
        for offset, size in frags:
            total += size
            if self._carry:
                taken = min(self._dtype.itemsize - len(self._carry), size)
                self._carry += bytes(source.view[offset : offset + taken])
                offset, size = offset + taken, size - taken
                if len(self._carry) < self._dtype.itemsize:
                    continue
                self._reduce(np.frombuffer(self._carry, self._dtype))
                self._carry = b""
            whole = size - size % self._dtype.itemsize
            if whole:
                self._reduce(_elements(source, offset, whole, self._dtype))
            self._carry = bytes(source.view[offset + whole : offset + size])
        return total

    def _reduce(self, values: Array) -> None:
        into = _elements(self._memory, self._at, values.nbytes, self._dtype)
        self._redop(into, values, out=into)
        self._at += values.nbytes


def _elements(memory: Region, offset: int, size: int, dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(memory.view, dtype, size // dtype.itemsize, offset)
