"""Host memory that an application has registered with its endpoint: to receive into it, or send from it, is
one copy, the kernel's between its pages and user memory; the bytes do not go through the channel.

In: sizes; buffers of the application. Out: memory; the registered span that a buffer lies in. Owns the memory
and the table of registered addresses.
"""

from __future__ import annotations

import bisect
import ctypes

from nodes.client.calls import Calls
from nodes.machine.memory import Region
from nodes.machine.routes import Place
from nodes.uapi.syscalls import USER_MEMORY_NAME, Done, RegisterMemory, Span, UnregisterMemory


class UserMemory:
    """`view` is a memoryview of the whole region. Sockets of the host recognise it and its slices. `counted`:
    it has no content."""

    def __init__(self, calls: Calls, registry: MemoryRegistry, size: int, counted: bool = False) -> None:
        self.region = Region.shareable(USER_MEMORY_NAME, size, Place.HOST, counted)
        self.view = self.region.view
        self._calls = calls
        self._registry = registry
        try:
            self.id = calls.call(RegisterMemory(), Done, (self.region.fd,)).value
        except BaseException:
            self.region.close()
            raise
        self._address = _address(self.view)
        registry.add(self._address, size, self.id)

    def close(self) -> None:
        """Unregister; sockets no longer recognise its buffers. A forked child only unmaps: what is
        registered is its parent's."""
        if self._registry.remove(self._address):
            self._calls.call(UnregisterMemory(self.id), Done)
        self.region.close()


class MemoryRegistry:
    """The addresses of this process at which there is registered memory."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._regions: dict[int, tuple[int, int]] = {}  # start -> size, memory id

    def add(self, address: int, size: int, memory: int) -> None:
        bisect.insort(self._starts, address)
        self._regions[address] = (size, memory)

    def remove(self, address: int) -> bool:
        """Returns whether it was there."""
        if address not in self._regions:
            return False
        self._starts.remove(address)
        del self._regions[address]
        return True

    def clear(self) -> None:
        """In a forked child, whose parent has registered the memory: it is read into inline."""
        self._starts.clear()
        self._regions.clear()

    def span(self, buffer: memoryview) -> Span | None:
        """Where in registered memory `buffer` lies; None when it lies elsewhere, or is read-only (its address
        cannot be taken then)."""
        if not self._starts or buffer.readonly or not buffer.nbytes:
            return None
        address = _address(buffer)
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        start = self._starts[at]
        size, memory = self._regions[start]
        if address + buffer.nbytes > start + size:
            return None
        return Span(memory, address - start, buffer.nbytes)


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
