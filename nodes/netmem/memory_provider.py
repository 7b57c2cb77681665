"""Where page pools get their memory: host pages from the machine, net_iovs from a bound dma-buf.

In: allocations and releases, by page pools only. Out: a netmem, or None when none is left, which is an
answer and not an error. Owns the netmems that no page pool holds.
Source: include/net/page_pool/memory_provider.h; mp_dmabuf_devmem_* in net/core/devmem.c.
"""

from __future__ import annotations

import heapq
from typing import Protocol

from nodes.machine.memory import Region
from nodes.netmem.netmem import NetIov, Netmem, Page
from nodes.uapi.socket import PAGE_SIZE

PP_ALLOC_BULK = 64  # PP_ALLOC_CACHE_REFILL: how many netmems a pool takes at once, where it takes several


class MemoryProvider(Protocol):
    """`size`: bytes of every netmem, `total`: how many there are. `bulk`: how many netmems a page pool takes
    at once. `dmabuf_id`: 0 for host pages."""

    size: int
    total: int
    bulk: int
    dmabuf_id: int

    def alloc_netmem(self) -> Netmem | None:
        """A netmem without references, None when none is left."""
        ...

    def release_netmem(self, netmem: Netmem) -> None:
        """Take back a netmem that `alloc_netmem` gave."""
        ...


class HostPages:
    """The page allocator, with a limit of `limit_bytes`. Pages of `size` bytes are cut from regions of 1 MiB,
    which are mapped when they are needed. `counted`: they have no content."""

    dmabuf_id = 0

    def __init__(self, size: int, limit_bytes: int, counted: bool = False) -> None:
        self.size = size
        self._counted = counted
        self.bulk = PP_ALLOC_BULK if size <= PAGE_SIZE else 1  # the kernel takes high-order pages singly
        self._left = self.total = limit_bytes // size
        self._free: list[Netmem] = []
        self._pages_per_region = max(1, (1 << 20) // size)

    def alloc_netmem(self) -> Netmem | None:
        if not self._free:
            count = min(self._pages_per_region, self._left)
            if count == 0:
                return None
            region = Region.anonymous(count * self.size, self._counted)
            self._left -= count
            self._free = [Page(region, i * self.size, self.size) for i in range(count)]
        return self._free.pop()

    def release_netmem(self, netmem: Netmem) -> None:
        self._free.append(netmem)


class DmabufNetIovs:
    """The net_iovs of one dma-buf, as gen_pool gives them: one at a time, always the lowest that is free. All
    queues of the binding take from them. A net_iov is an object while a page pool has it, so that binding
    gigabytes takes no time. What is left behind the last whole net_iov is not used."""

    bulk = 1

    def __init__(self, region: Region, size: int, dmabuf_id: int) -> None:
        self.size = size
        self.dmabuf_id = dmabuf_id
        self.total = region.size // size
        self._region = region
        self._free: list[int] = []  # offsets of the net_iovs that were given back
        self._unused = range(0, self.total * size, size)  # of those that no pool has had

    @property
    def free(self) -> int:
        """How many net_iovs no page pool holds."""
        return len(self._free) + len(self._unused)

    def alloc_netmem(self) -> Netmem | None:
        if self._free:
            offset = heapq.heappop(self._free)  # lower than all that were never used
        elif self._unused:
            offset, self._unused = self._unused[0], self._unused[1:]
        else:
            return None
        return NetIov(self._region, offset, self.size, self.dmabuf_id)

    def release_netmem(self, netmem: Netmem) -> None:
        heapq.heappush(self._free, netmem.offset)


class FreelistNetIovs(DmabufNetIovs):
    """The same as a freelist gives them: many at a time, last in first out, the highest first in the
    beginning."""

    bulk = PP_ALLOC_BULK

    def alloc_netmem(self) -> Netmem | None:
        if self._free:
            offset = self._free.pop()
        elif self._unused:
            offset, self._unused = self._unused[-1], self._unused[:-1]
        else:
            return None
        return NetIov(self._region, offset, self.size, self.dmabuf_id)

    def release_netmem(self, netmem: Netmem) -> None:
        self._free.append(netmem.offset)


def host_page_size(buffer_bytes: int) -> int:
    """The page size for receive buffers of `buffer_bytes`: the next power of two, at least PAGE_SIZE."""
    return max(PAGE_SIZE, 1 << (buffer_bytes - 1).bit_length())
