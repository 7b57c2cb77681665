"""A page pool: recycles the receive buffers of one rx queue.

In: allocations by the queue when it refills its ring; netmems whose last reference was put. Out: netmems with
one reference. Owns a cache and a ring of netmems in front of a memory provider. The refill allocates from the
cache. A put goes to the cache while the NIC is polled, at other times to the ring. The hold count is how many
netmems the pool took from its provider, the release count how many it gave back; inflight = hold - release
includes those that rest in cache and ring. A pool may be limited on purpose (a fault): then it keeps no more
netmems inflight, and what is put beyond goes back to the provider. A destroyed pool gives every put back to
the provider at once, and has drained when inflight is 0. A trace sees each netmem come from the provider and
go back to it.
Source: net/core/page_pool.c, include/trace/events/page_pool.h.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from nodes.netmem.memory_provider import MemoryProvider
from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool_stats import PagePoolStats
from nodes.uapi.socket import PAGE_SIZE

PP_ALLOC_CACHE_SIZE: Final = 128
PP_ALLOC_CACHE_REFILL: Final = 64
RING_MAX: Final = 16384
NO_LIMIT: Final = 1 << 60  # below 1 << 62, from where on compiled code has objects for integers


@dataclass(frozen=True, slots=True)
class PoolParams:
    """How a driver makes the page pools of its rx queues (struct page_pool_params).

    `unreadable`: the queue's memory provider may serve them (PP_FLAG_ALLOW_UNREADABLE_NETMEM). `dma_sync`:
    the pool maps and syncs its memory for DMA (PP_FLAG_DMA_MAP, PP_FLAG_DMA_SYNC_DEV). `order`: log2 of the
    pages in each netmem; None: as many pages as the queue's buffers have.
    """

    unreadable: bool = True
    dma_sync: bool = True
    order: int | None = None


CAPABLE = PoolParams()  # a driver whose page pools take net_iovs


class Napi:
    """struct napi_struct. `polling`: the CPU that owns the pools' caches is processing received packets."""

    __slots__ = ("polling",)

    def __init__(self) -> None:
        self.polling = False


class PoolTrace(Protocol):
    """The tracepoints of page pools."""

    def state_hold(self, pool_id: int, netmem: Netmem, count: int) -> None:
        """page_pool_state_hold: `netmem` came from the provider; `count` is the pool's hold count."""
        ...

    def state_release(self, pool_id: int, netmem: Netmem, count: int) -> None:
        """page_pool_state_release: `netmem` goes back to the provider; `count` is the release count."""
        ...


@dataclass(frozen=True, slots=True)
class PoolContext:
    """What all page pools of one device share.

    `ids`: the next page pool ids. Ids are unique within a host (the kernel's xarray `page_pools`), so all
    devices of a host share one iterator. `napi`: the NAPI instance that polls the device. `trace`: sees the
    netmems of the pools; None: no trace.
    """

    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    napi: Napi = field(default_factory=Napi)
    trace: PoolTrace | None = None


class PagePool:
    """`context`: of the device; None: the pool belongs to no device, and has id 1. `on_drained` is called
    once, when the pool is destroyed and its inflight is 0. What is put while `context.napi` polls goes to the
    cache (page_pool_napi_local)."""

    def __init__(
        self,
        provider: MemoryProvider,
        ring_size: int = 1024,
        on_drained: Callable[[], None] = lambda: None,
        context: PoolContext | None = None,
    ) -> None:
        context = context or PoolContext()
        self.id = next(context.ids)
        self.provider = provider
        self.netmem_bytes = provider.size  # of each
        self._stats = PagePoolStats()
        # What every packet adds to: numbers of this compiled class, which take a tenth of a record's time.
        self._alloc_fast = self._recycle_ring = self._recycle_cached = 0
        self.hold = 0
        self.release = 0
        self.destroyed = False
        self.limit = NO_LIMIT  # of inflight
        # See `in_use`. The highest use since either window was restarted, and what each saw before that.
        self.peak_in_use = self._peak_before = self._recent_before = 0
        self._cache: list[Netmem] = []
        self._ring: deque[Netmem] = deque()
        self._ring_size = min(ring_size, RING_MAX)
        self._on_drained = on_drained
        self._trace = context.trace
        self._napi = context.napi

    @property
    def stats(self) -> PagePoolStats:
        """What was counted so far; whoever wants to know more later asks again."""
        stats = self._stats
        stats.alloc_fast, stats.recycle_ring = self._alloc_fast, self._recycle_ring
        stats.recycle_cached = self._recycle_cached
        return stats

    @property
    def inflight(self) -> int:
        """Netmems taken from the provider and not given back, those in cache and ring included."""
        return self.hold - self.release

    def in_use(self, posted: int) -> int:
        """Netmems that packets or applications hold: inflight without those that rest here and the `posted`
        ones."""
        return self.hold - self.release - len(self._cache) - len(self._ring) - posted

    @property
    def peak(self) -> int:
        """The highest `in_use` since `restart_peak`."""
        return max(self.peak_in_use, self._peak_before)

    @property
    def recent_peak(self) -> int:
        """The highest one since `restart_recent`, of one who looks more often."""
        return max(self.peak_in_use, self._recent_before)

    def restart_peak(self, posted: int) -> None:
        """The highest use from now on."""
        self._peak_before, self._recent_before = 0, self.recent_peak
        self.peak_in_use = self.in_use(posted)

    def restart_recent(self, posted: int) -> None:
        """Likewise, and `peak` stays."""
        self._peak_before, self._recent_before = self.peak, 0
        self.peak_in_use = self.in_use(posted)

    def alloc_netmem(self) -> Netmem | None:
        """A netmem with one reference. None: the pool and its provider are empty."""
        cache, ring = self._cache, self._ring
        if cache:
            self._alloc_fast += 1
        elif ring:
            for _ in range(min(PP_ALLOC_CACHE_REFILL, len(ring))):
                cache.append(ring.popleft())
            self._stats.alloc_refill += 1
        else:
            self._stats.alloc_empty += 1
            return self._alloc_slow()
        netmem = cache.pop()
        netmem.pp_ref_count = 1
        return netmem

    def _alloc_slow(self) -> Netmem | None:
        """Take as many netmems as the provider gives at once: return one, put the others in the cache."""
        provider, cache = self.provider, self._cache
        for _ in range(min(provider.bulk, self.limit - self.inflight)):
            netmem = provider.alloc_netmem()
            if netmem is None:
                break
            netmem.owner = self
            self.hold += 1
            if self._trace is not None:
                self._trace.state_hold(self.id, netmem, self.hold)
            cache.append(netmem)
        if not cache:
            return None
        if not provider.dmabuf_id:  # the kernel does not count a memory provider's allocations as slow ones
            high_order = provider.size > PAGE_SIZE
            self._stats.alloc_slow_high_order += high_order
            self._stats.alloc_slow += not high_order
        netmem = cache.pop()
        netmem.pp_ref_count = 1
        return netmem

    def put_netmem(self, netmem: Netmem) -> None:
        """The last reference was put: recycle `netmem` in cache or ring, else give it to the provider."""
        if self.limit < NO_LIMIT and self.inflight > self.limit:  # in this order: it is the hot path
            self._release(netmem)
            return
        if self._napi.polling and self._put_in_cache(netmem):
            return
        if len(self._ring) < self._ring_size:
            self._ring.append(netmem)
            self._recycle_ring += 1
            return
        self._stats.recycle_ring_full += not self.destroyed
        self._release(netmem)

    def _put_in_cache(self, netmem: Netmem) -> bool:
        if len(self._cache) >= PP_ALLOC_CACHE_SIZE:
            self._stats.recycle_cache_full += 1
            return False
        self._cache.append(netmem)
        self._recycle_cached += 1
        return True

    def set_limit(self, limit: int) -> None:
        """Keep so many inflight at most: what rests beyond that goes back now, what is in use when it is
        put."""
        self.limit = limit
        for resting in (self._ring, self._cache):
            while resting and self.inflight > limit:
                self._release(resting.pop())

    def _release(self, netmem: Netmem) -> None:
        netmem.owner = None
        self.release += 1
        if self._trace is not None:
            self._trace.state_release(self.id, netmem, self.release)
        self.provider.release_netmem(netmem)
        if self.destroyed and self.inflight == 0:
            self._on_drained()

    def destroy(self) -> None:
        """Stop recycling. Netmems in cache and ring go back to the provider now, those in use when they are
        put. Idempotent."""
        if self.destroyed:
            return
        self.destroyed = True
        self._ring_size, self._napi = 0, Napi()  # a put finds no room in the ring, and never a polling NAPI
        resting = [*self._cache, *self._ring]
        self._cache.clear()
        self._ring.clear()
        if self.inflight == 0:
            self._on_drained()
        for netmem in resting:
            self._release(netmem)
