"""A page pool: recycles the receive buffers of one rx queue.

In: alloc from the queue's refill, put from the last holder of a netmem. Out: netmem with one reference.
Owns a cache (used by the refill, filled by what is dropped while the NIC is polled) and a ring (filled by
everyone else), in front of a memory provider. hold and release counts say how much memory the provider is
owed: inflight = hold - release counts netmem resting in cache and ring too. A destroyed pool gives every
put straight back and is done when inflight reaches 0. A trace sees each netmem come from the provider and go
back.
Source: net/core/page_pool.c, include/trace/events/page_pool.h.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from nodes.netmem.memory_provider import MemoryProvider
from nodes.netmem.netmem import Netmem
from nodes.uapi.socket import PAGE_SIZE

PP_ALLOC_CACHE_SIZE = 128
PP_ALLOC_CACHE_REFILL = 64
RING_MAX = 16384

_ids = itertools.count(1)


class PagePoolStats(msgspec.Struct):
    """The kernel's counters (struct page_pool_alloc_stats, page_pool_recycle_stats)."""

    alloc_fast: int = 0
    alloc_slow: int = 0
    alloc_slow_high_order: int = 0
    alloc_empty: int = 0
    alloc_refill: int = 0
    alloc_waive: int = 0
    recycle_cached: int = 0
    recycle_cache_full: int = 0
    recycle_ring: int = 0
    recycle_ring_full: int = 0
    recycle_released_refcnt: int = 0


@dataclass(frozen=True, slots=True)
class PoolParams:
    """How a driver makes the pools of its rx queues (struct page_pool_params). `unreadable`: the queue's
    memory provider may serve them (PP_FLAG_ALLOW_UNREADABLE_NETMEM); `dma_sync`: they are mapped and synced
    (PP_FLAG_DMA_MAP, PP_FLAG_DMA_SYNC_DEV); `order`: log2 of the pages that each netmem has, None: of as many
    as the queue's buffers."""

    unreadable: bool = True
    dma_sync: bool = True
    order: int | None = None


CAPABLE = PoolParams()


class Napi:
    """`polling`: the CPU that owns the pools' caches is at work on what the NIC received."""

    __slots__ = ("polling",)

    def __init__(self) -> None:
        self.polling = False


class PoolTrace(Protocol):
    """The tracepoints page_pool_state_hold and page_pool_state_release; `count` is the pool's hold or
    release count."""

    def state_hold(self, pool_id: int, netmem: Netmem, count: int) -> None: ...

    def state_release(self, pool_id: int, netmem: Netmem, count: int) -> None: ...


class PagePool:
    """`on_drained` is called once, when a destroyed pool's inflight reaches 0. What is put while `napi` polls
    rests in the cache (page_pool_napi_local)."""

    def __init__(
        self,
        provider: MemoryProvider,
        ring_size: int = 1024,
        on_drained: Callable[[], None] = lambda: None,
        trace: PoolTrace | None = None,
        napi: Napi | None = None,
    ) -> None:
        self.id = next(_ids)
        self.provider = provider
        self.stats = PagePoolStats()
        self.hold = 0
        self.release = 0
        self.destroyed = False
        self._cache: list[Netmem] = []
        self._ring: deque[Netmem] = deque()
        self._ring_size = min(ring_size, RING_MAX)
        self._on_drained = on_drained
        self._trace = trace
        self._napi = napi or Napi()

    @property
    def inflight(self) -> int:
        """Netmem taken from the provider and not given back, those resting in the pool included."""
        return self.hold - self.release

    def alloc_netmem(self) -> Netmem | None:
        """One netmem with one reference, or None when the pool and its provider are dry."""
        cache, ring = self._cache, self._ring
        if cache:
            self.stats.alloc_fast += 1
        elif ring:
            for _ in range(min(PP_ALLOC_CACHE_REFILL, len(ring))):
                cache.append(ring.popleft())
            self.stats.alloc_refill += 1
        else:
            self.stats.alloc_empty += 1
            return self._alloc_slow()
        netmem = cache.pop()
        netmem.pp_ref_count = 1
        return netmem

    def _alloc_slow(self) -> Netmem | None:
        """As many as the provider gives at once: one to hand out, the others to the cache."""
        provider, cache = self.provider, self._cache
        for _ in range(provider.bulk):
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
        if not provider.dmabuf_id:  # as in the kernel, a provider's allocations are not "slow" ones
            high_order = provider.size > PAGE_SIZE
            self.stats.alloc_slow_high_order += high_order
            self.stats.alloc_slow += not high_order
        netmem = cache.pop()
        netmem.pp_ref_count = 1
        return netmem

    def put_netmem(self, netmem: Netmem) -> None:
        """The last reference was put: rest in the cache or in the ring, or go back to the provider."""
        if self._napi.polling and self._put_in_cache(netmem):
            return
        if len(self._ring) < self._ring_size:
            self._ring.append(netmem)
            self.stats.recycle_ring += 1
            return
        self.stats.recycle_ring_full += not self.destroyed
        self._release(netmem)

    def _put_in_cache(self, netmem: Netmem) -> bool:
        if len(self._cache) >= PP_ALLOC_CACHE_SIZE:
            self.stats.recycle_cache_full += 1
            return False
        self._cache.append(netmem)
        self.stats.recycle_cached += 1
        return True

    def _release(self, netmem: Netmem) -> None:
        netmem.owner = None
        self.release += 1
        if self._trace is not None:
            self._trace.state_release(self.id, netmem, self.release)
        self.provider.release_netmem(netmem)
        if self.destroyed and self.inflight == 0:
            self._on_drained()

    def destroy(self) -> None:
        """Stop recycling: what rests goes back now, what is out goes back when it is put.
        Idempotent."""
        if self.destroyed:
            return
        self.destroyed = True
        self._ring_size, self._napi = 0, Napi()  # so that a put finds room neither here nor in the cache
        resting = [*self._cache, *self._ring]
        self._cache.clear()
        self._ring.clear()
        if self.inflight == 0:
            self._on_drained()
        for netmem in resting:
            self._release(netmem)
