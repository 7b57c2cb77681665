"""Counters of a page pool.

In: additions by their owner. Out: the numbers, with unit and meaning for who shows them. Owns nothing.
This file is not compiled: a compiled class would forget what its annotations say.
"""

from __future__ import annotations

from typing import Annotated

import msgspec


class PagePoolStats(msgspec.Struct):
    """The kernel's counters (struct page_pool_alloc_stats, page_pool_recycle_stats)."""

    alloc_fast: Annotated[int, "times", "allocations that the cache served"] = 0
    alloc_slow: Annotated[int, "times", "allocations of host pages from the host's memory"] = 0
    alloc_slow_high_order: Annotated[int, "times", "likewise, of buffers larger than a page"] = 0
    alloc_empty: Annotated[int, "times", "allocations that found cache and ring empty"] = 0
    alloc_refill: Annotated[int, "times", "allocations that moved netmems from the ring to the cache"] = 0
    alloc_waive: Annotated[
        int, "times", "pages of another NUMA node that were not recycled: always 0, since there is one node"
    ] = 0
    recycle_cached: Annotated[int, "times", "netmems put into the cache"] = 0
    recycle_cache_full: Annotated[int, "times", "netmems that found the cache full"] = 0
    recycle_ring: Annotated[int, "times", "netmems put into the ring"] = 0
    recycle_ring_full: Annotated[
        int, "times", "netmems given back to the provider, since the ring was full"
    ] = 0
    recycle_released_refcnt: Annotated[
        int, "times",
        "pages freed since somebody else held them: always 0, since references are counted here alone",
    ] = 0
