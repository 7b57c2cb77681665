"""The accelerator: memory that it exports as dma-bufs, a copy engine, and the compute that collectives need.

In: ranges of its own memory, received fragments, host memory to copy from or to. Out: results in its memory,
copies in host memory. Owns the dma-bufs that it exported. One of the three places where payload is accessed.
Fragments end anywhere: an element may straddle two of them. Every operation adds to the ledger what the
hardware would have moved. Copies to and from host memory wait for the host's buses, through `turn`. A source
may be the memory of another accelerator of the host: those bytes cross the accelerators' own fabric.
"""

from __future__ import annotations

import ctypes
import errno
import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import msgspec

from nodes.machine import dmabuf, routes
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.pace import Pace, paced
from nodes.machine.routes import Place

if TYPE_CHECKING:
    import numpy as np  # imported where it is needed: it takes its time, and a Slot does without
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
ByteRange = tuple[int, int]  # (offset, size) in bytes


class Operator(NamedTuple):
    """How two elements are reduced to one."""

    dtype: np.dtype[Any]
    redop: np.ufunc


class Turn(Protocol):
    """Waits until the host's buses have served so many bytes of DRAM accesses, and so many up and down
    through the PCIe switch of the accelerator."""

    def __call__(self, dram: int, up: int = 0, down: int = 0, /) -> None: ...


# Waits until the accelerator's own memory has served so many bytes.
Access: TypeAlias = Callable[[int], None]


class Slot(msgspec.Struct, frozen=True):
    """Where an accelerator sits, and how much memory it has. `nic`: the interface that shares its PCIe
    switch, "" for any; `memory_bytes` 0: no limit."""

    name: str = "accelerator"
    nic: str = ""
    memory_bytes: int = 0


ANY_SLOT = Slot()
_LONG_BYTES = 32 << 10
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def _at_once(_dram: int, _up: int = 0, _down: int = 0) -> None:
    """The turn on buses without a limit, and the access to memory without one."""


class Accelerator:
    """`turn` is called after each operation, and may block. `pace`: how slow copies and computations are made
    on purpose; None: as fast as this machine. `counted`: its memory has no content; every operation adds to
    the ledger and waits as it does with content. `access` is called with what copies within the device,
    reductions and divisions read and write of its own memory; a copy to or from host memory waits for PCIe,
    which is slower."""

    def __init__(
        self,
        ledger: Ledger,
        turn: Turn = _at_once,
        slot: Slot = ANY_SLOT,
        pace: Pace | None = None,
        counted: bool = False,
        access: Access = _at_once,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._turn = turn
        self._access = access
        self._slot = slot
        self._counted = counted
        self._memory: list[Region] = []

    def alloc(self, size: int) -> Region:
        """Export `size` bytes of accelerator memory as a dma-buf, which `close` closes. Raises OSError ENOMEM
        when so much is not left."""
        limit, used = self._slot.memory_bytes, sum(region.size for region in self._memory)
        if limit and used + size > limit:
            raise OSError(
                errno.ENOMEM,
                f"{self._slot.name} has {limit} bytes of memory, of which {used} are in use, and {size} more "
                "were asked for; give it more memory, or ask for less",
            )
        region = dmabuf.export(size, self._slot.nic, self._counted)
        self._memory.append(region)
        return region

    def fetch(self, size: int) -> None:
        """Before a NIC takes `size` bytes of the memory: they are there."""

    def fill(self, memory: Region, offset: int, values: Array) -> None:
        """Write `values`, which were computed, to `memory` at byte `offset`."""
        self.generate(memory, offset, values.nbytes, lambda: values)

    def generate(self, memory: Region, offset: int, size: int, values: Callable[[], Array]) -> None:
        """Compute `values()`, which have `size` bytes, into `memory` at byte `offset`. Counted memory takes
        none: they are not computed."""
        if not memory.counted:
            computed = values()
            _elements(memory, offset, size, computed.dtype)[:] = computed
        self._ledger.record(routes.ACC_CORE_TO_DEVICE, size)

    def compare(self, memory: Region, offset: int, expected: Array) -> int:
        """How many elements of `memory`, from byte `offset` on, differ from `expected`. NaN is never
        equal. Of counted memory nothing is known: none."""
        import numpy as np

        self._ledger.record(routes.ACC_DEVICE_TO_CORE, expected.nbytes)
        if memory.counted:
            return 0
        found = _elements(memory, offset, expected.nbytes, expected.dtype)
        is_long = expected.dtype == np.uint8 and expected.size >= _LONG_BYTES and expected.flags.c_contiguous
        if is_long and _same_bytes(found, expected):
            return 0
        return int(np.count_nonzero(found != expected))

    def unpack(self, memory: Region, offset: int, source: Region, frags: Iterable[ByteRange]) -> int:
        """Copy fragments of `source`, in order, to consecutive bytes of `memory` from `offset` on; returns
        how many bytes that were. The copy is within the device and does not touch the host."""
        at = offset
        with paced(self._pace):
            for frag_offset, size in frags:
                if not memory.counted:
                    memory.view[at : at + size] = source.view[frag_offset : frag_offset + size]
                at += size
            is_peer = source.place is Place.PEER
            self._access((at - offset) * (1 if is_peer else 2))
        route = routes.ACC_PEER_TO_DEVICE if is_peer else routes.ACC_DEVICE_TO_DEVICE
        self._ledger.record(route, at - offset)
        return at - offset

    def copy(self, memory: Region, source: int, offset: int, size: int) -> None:
        """`size` bytes of `memory`, from byte `source` on, to byte `offset` on, within the device."""
        self.unpack(memory, offset, memory, [(source, size)])

    def divide(self, memory: Region, offset: int, size: int, dtype: np.dtype[Any], divisor: int) -> None:
        """Divide the elements of `size` bytes of `memory`, from byte `offset` on; whole numbers are rounded
        down."""
        import numpy as np

        with paced(self._pace):
            if not memory.counted:
                values = _elements(memory, offset, size, dtype)
                division = np.floor_divide if dtype.kind == "i" else np.divide
                division(values, dtype.type(divisor), out=values)
            self._access(2 * size)
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, size)

    def compute(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """A computation that takes so long on an accelerator that is not slow; of its memory accesses nothing
        is known."""
        with paced(self._pace):
            sleep(seconds)

    def reduction(self, memory: Region, offset: int, operand: int, operator: Operator) -> Reduction:
        """A reduction of a stream of fragments with the elements of `memory` from byte `operand` on, into
        those from byte `offset` on: the same ones, or others apart from them."""
        return Reduction(self._ledger, memory, offset, operand, operator, self._pace, self._access)

    def copy_to_host(self, source: Region, offset: int, destination: memoryview) -> None:
        """Copy engine, device to host: len(destination) bytes of `source` from byte `offset` on."""
        count = len(destination)
        with paced(self._pace):
            if not source.counted:
                destination[:] = source.view[offset : offset + count]
        self._ledger.record(routes.ACC_DEVICE_TO_HOST, count)
        self._turn(count, count, 0)

    def copy_to_device(self, source: memoryview, destination: Region, offset: int) -> None:
        """Copy engine, host to device: all of `source` to `destination` at byte `offset`."""
        with paced(self._pace):
            if not destination.counted:
                destination.view[offset : offset + len(source)] = source
        self._ledger.record(routes.ACC_HOST_TO_DEVICE, len(source))
        self._turn(len(source), 0, len(source))

    def close(self) -> None:
        """Close all dma-bufs that were exported."""
        for region in self._memory:
            region.close()
        self._memory.clear()


class Reduction:
    """Reduces fragments, in the order of the stream, with consecutive elements of `memory`."""

    def __init__(
        self,
        ledger: Ledger,
        memory: Region,
        offset: int,
        operand: int,
        operator: Operator,
        pace: Pace | None = None,
        access: Access = _at_once,
    ) -> None:
        self._ledger = ledger
        self._pace = pace
        self._access = access
        self._memory = memory
        self._dtype, self._redop = operator
        self._offsets = operand, offset
        self._arrays: tuple[Array, Array] | None = None  # the elements from there on
        self._at = 0  # elements that are done
        self._carry = b""  # the beginning of an element that the next fragment completes

    def add(self, source: Region, frags: Iterable[ByteRange]) -> int:
        """Reduce these fragments of `source`; returns how many bytes they have."""
        is_peer = source.place is Place.PEER
        with paced(self._pace):
            total = self._add(source, frags)
            # Both operands are read, the result is written.
            self._access(total * (2 if is_peer else 3))
        self._ledger.record(routes.ACC_DEVICE_TO_DEVICE, total)
        self._ledger.record(routes.ACC_PEER_TO_CORE if is_peer else routes.ACC_DEVICE_TO_CORE, total)
        return total

    def _add(self, source: Region, frags: Iterable[ByteRange]) -> int:
        if source.counted:
            return sum(size for _, size in frags)
        total = 0
        for offset, size in frags:
            total += size
            if self._carry:
                taken = min(self._dtype.itemsize - len(self._carry), size)
                self._carry += bytes(source.view[offset : offset + taken])
                offset, size = offset + taken, size - taken
                if len(self._carry) < self._dtype.itemsize:
                    continue
                self._reduce(_from_bytes(self._carry, self._dtype))
                self._carry = b""
            whole = size - size % self._dtype.itemsize
            if whole:
                self._reduce(_elements(source, offset, whole, self._dtype))
            if whole < size:
                self._carry = bytes(source.view[offset + whole : offset + size])
        return total

    def _reduce(self, values: Array) -> None:
        """Slices of arrays that are made once: a new array takes three times as long."""
        if self._arrays is None:
            operand_at, into_at = self._offsets
            behind = functools.partial(_elements_from, self._memory, self._dtype)
            self._arrays = behind(operand_at), behind(into_at)
        operand, into = self._arrays
        at, end = self._at, self._at + len(values)
        self._redop(operand[at:end], values, out=into[at:end])
        self._at = end


def _same_bytes(found: Array, expected: Array) -> bool:
    """By the C library, which needs a third of numpy's time, and which lets other threads run meanwhile."""
    return bool(_memcmp(found.ctypes.data, expected.ctypes.data, expected.nbytes) == 0)


def _elements(memory: Region, offset: int, size: int, dtype: np.dtype[Any]) -> Array:
    import numpy as np

    return np.frombuffer(memory.view, dtype, size // dtype.itemsize, offset)


def _elements_from(memory: Region, dtype: np.dtype[Any], offset: int) -> Array:
    """All that lie behind `offset`."""
    return _elements(memory, offset, (memory.size - offset) // dtype.itemsize * dtype.itemsize, dtype)


def _from_bytes(carry: bytes, dtype: np.dtype[Any]) -> Array:
    import numpy as np

    return np.frombuffer(carry, dtype)
