"""Host memory that an application shares with its endpoint, so that an ordinary read or write is one
copy, the kernel's, and not a trip through the channel.

In: sizes, and buffers of the application's. Out: memory, and which registered span a buffer lies in.
"""

from __future__ import annotations

import bisect
import ctypes

from nodes.client.calls import Calls
from nodes.machine.ledger import Place
from nodes.machine.memory import Region
from nodes.uapi.syscalls import USER_MEMORY_NAME, Done, RegisterMemory, Span, UnregisterMemory


class UserMemory:
    """`view` is a memoryview over the whole region; slices of it are recognised by sockets of the host."""

    def __init__(self, calls: Calls, registry: MemoryRegistry, size: int) -> None:
        self.region = Region.shareable(USER_MEMORY_NAME, size, Place.HOST)
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
        """Unregister; sockets no longer recognise its buffers."""
        self._registry.remove(self._address)
        self._calls.call(UnregisterMemory(self.id), Done)
        self.region.close()


class MemoryRegistry:
    """Which addresses of this process are registered memory."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._regions: dict[int, tuple[int, int]] = {}  # start -> size, memory id

    def add(self, address: int, size: int, memory: int) -> None:
        bisect.insort(self._starts, address)
        self._regions[address] = (size, memory)

    def remove(self, address: int) -> None:
        self._starts.remove(address)
        del self._regions[address]

    def span(self, buffer: memoryview) -> Span | None:
        """Where in registered memory `buffer` lies; None when it does not, or cannot be written to."""
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
