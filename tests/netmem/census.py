"""Where each net_iov of a binding is: free, in a pool, posted or held, and in one place only.

In: a provider, the pools and queues that take from it, the netmems that the test holds. Out: an assertion.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodes.netmem.memory_provider import DmabufNetIovs
from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PagePool
from nodes.nic.rx_queue import RxQueue


def assert_conserved(
    provider: DmabufNetIovs,
    pools: Iterable[PagePool],
    queues: Iterable[RxQueue] = (),
    held: Iterable[Netmem] = (),
) -> None:
    """free + pooled + posted + held = total, each net_iov in exactly one place."""
    free = [*provider._free, *provider._unused]
    pooled = [netmem.offset for pool in pools for netmem in (*pool._cache, *pool._ring)]
    posted = [netmem.offset for rxq in queues for netmem in rxq._posted]
    out = {netmem.offset for netmem in held if netmem.is_net_iov}
    places = sorted([*free, *pooled, *posted, *out])
    counts = f"free {len(free)} + pooled {len(pooled)} + posted {len(posted)} + held {len(out)}"
    assert places == [i * provider.size for i in range(provider.total)], f"{counts} of {provider.total}"
