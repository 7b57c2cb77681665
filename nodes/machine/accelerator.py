"""The accelerator: memory that it exports as dma-bufs, a copy engine, and enough compute for collectives.

In: spans of its own memory, received fragments, host memory to copy from or to. Owns the dma-bufs it
made. One of the three doors to payload. Fragments end anywhere: an element may straddle two of them.
Every operation adds to the ledger what the hardware would have moved; host DRAM accesses wait for
their turn on the memory bus through `turn`.
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

Array = NDArray[Any]
Span = tuple[int, int]  # (offset, size) in bytes


class Accelerator:
    """`turn(n)` is called after each operation that made n bytes of host DRAM accesses."""

    def __init__(self, ledger: Ledger, turn: Callable[[int], None] = lambda _: None) -> None:
        self._ledger = ledger
        self._turn = turn
        self._memory: list[Region] = []

    def alloc(self, size: int) -> Region:
        """Export `size` bytes of accelerator memory as a dma-buf."""
        region = dmabuf.export(size)
        self._memory.append(region)
        return region

    def fill(self, memory: Region, offset: int, values: Array) -> None:
        """Compute `values` into the memory at byte `offset`."""
        count = values.nbytes
        _elements(memory, offset, count, values.dtype)[:] = values
        self._ledger.record(routes.ACC_CORE_TO_DEVICE, count)

    def compare(self, memory: Region, offset: int, expected: Array) -> int:
        """How many elements at byte `offset` differ from `expected`."""
        found = _elements(memory, offset, expected.nbytes, expected.dtype)
        self._ledger.record(routes.ACC_DEVICE_TO_CORE, expected.nbytes)
        return int(np.count_nonzero(found != expected))

    def unpack(self, memory: Region, offset: int, source: Region, frags: Iterable[Span]) -> int:
        """Gather fragments of `source` into consecutive bytes of `memory` from `offset` on; returns
        their sum in bytes. A copy inside the device: it never touches the host."""
        at = offset
        for frag_offset, size in frags:
            memory.view[at : at + size] = source.view[frag_offset : frag_offset + size]
            at += size
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, at - offset)
        return at - offset

    def reduction(self, memory: Region, offset: int, dtype: np.dtype[Any], redop: np.ufunc) -> Reduction:
        """Begin to reduce a stream of fragments into `memory` from byte `offset` on."""
        return Reduction(self._ledger, memory, offset, dtype, redop)

    def copy_to_host(self, source: Region, offset: int, destination: memoryview) -> None:
        """Copy engine, device to host: len(destination) bytes from byte `offset`."""
        count = len(destination)
        destination[:] = source.view[offset : offset + count]
        self._ledger.record(routes.ACC_DEVICE_TO_HOST, count)
        self._turn(count)

    def copy_to_device(self, source: memoryview, destination: Region, offset: int) -> None:
        """Copy engine, host to device: all of `source` to byte `offset`."""
        destination.view[offset : offset + len(source)] = source
        self._ledger.record(routes.ACC_HOST_TO_DEVICE, len(source))
        self._turn(len(source))

    def close(self) -> None:
        for region in self._memory:
            region.close()
        self._memory.clear()


class Reduction:
    """A reduction of fragments, in stream order, into consecutive elements."""

    def __init__(
        self, ledger: Ledger, memory: Region, offset: int, dtype: np.dtype[Any], redop: np.ufunc
    ) -> None:
        self._ledger = ledger
        self._memory = memory
        self._at = offset
        self._dtype = dtype
        self._redop = redop
        self._carry = b""  # the first bytes of an element whose rest is in the next fragment

    def add(self, source: Region, frags: Iterable[Span]) -> int:
        """Reduce these fragments of `source`; returns how many bytes they held."""
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
        # Both operands are read, the result is written.
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, total)
        self._ledger.record(routes.ACC_DEVICE_TO_CORE, total)
        return total

    def _reduce(self, values: Array) -> None:
        into = _elements(self._memory, self._at, values.nbytes, self._dtype)
        self._redop(into, values, out=into)
        self._at += values.nbytes


def _elements(memory: Region, offset: int, size: int, dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(memory.view, dtype, size // dtype.itemsize, offset)
