"""Where page pools get their memory: host pages from the machine, net_iovs from a bound dma-buf.

In: alloc and free, from page pools only. Out: a netmem, or None when there is no more: an answer, not
an error. Source: include/net/page_pool/memory_provider.h; mp_dmabuf_devmem_* in net/core/devmem.c.
"""

from __future__ import annotations

from typing import Protocol

from nodes.machine.memory import Region
from nodes.netmem.netmem import NetIov, Netmem, Page
from nodes.uapi.socket import PAGE_SIZE

PP_ALLOC_BULK = 64  # PP_ALLOC_CACHE_REFILL: pages that a pool asks the page allocator for


class MemoryProvider(Protocol):
    size: int  # bytes of every netmem it gives
    bulk: int  # how many a page pool takes at once
    dmabuf_id: int  # 0 for host pages

    def alloc_netmem(self) -> Netmem | None: ...

    def release_netmem(self, netmem: Netmem) -> None: ...


class HostPages:
    """The page allocator, up to `limit_bytes`; pages of `size` bytes are cut from regions made on demand."""

    dmabuf_id = 0

    def __init__(self, size: int, limit_bytes: int) -> None:
        self.size = size
        self.bulk = PP_ALLOC_BULK if size <= PAGE_SIZE else 1  # of high-order pages one at a time
        self._left = limit_bytes // size
        self._free: list[Netmem] = []
        self._pages_per_region = max(1, (1 << 20) // size)

    def alloc_netmem(self) -> Netmem | None:
        if not self._free:
            count = min(self._pages_per_region, self._left)
            if count == 0:
                return None
            region = Region.anonymous(count * self.size)
            self._left -= count
            self._free = [Page(region, i * self.size, self.size) for i in range(count)]
        return self._free.pop()

    def release_netmem(self, netmem: Netmem) -> None:
        self._free.append(netmem)


class DmabufNetIovs:
    """The net_iovs of one dma-buf, last in first out, shared by all queues of the binding. One that was
    never used has no object yet: a bind of gigabytes takes no time."""

    def __init__(self, region: Region, size: int, dmabuf_id: int, bulk: int = 1) -> None:
        self.size = size
        self.bulk = bulk
        self.dmabuf_id = dmabuf_id
        self.total = region.size // size
        self._region = region
        self._free: list[Netmem] = []
        self._unused = 0  # offset of the first that was never used

    @property
    def free(self) -> int:
        return len(self._free) + self.total - self._unused // self.size

    def alloc_netmem(self) -> Netmem | None:
        if self._free:
            return self._free.pop()
        offset = self._unused
        if offset >= self._region.size:
            return None
        self._unused = offset + self.size
        return NetIov(self._region, offset, self.size, self.dmabuf_id)

    def release_netmem(self, netmem: Netmem) -> None:
        self._free.append(netmem)


def host_page_size(buffer_bytes: int) -> int:
    """The page size that holds a receive buffer of `buffer_bytes`: a power of two, PAGE_SIZE at least."""
    return max(PAGE_SIZE, 1 << (buffer_bytes - 1).bit_length())
