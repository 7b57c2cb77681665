"""One rx queue: the buffers posted to the NIC, and the pool they come from.

In: netmems from the queue's page pool (`fill`), frames' lengths (`take`). Out: netmems to scatter a
payload into, or None when too few are posted: the frame is dropped and counted, TCP sees loss.
`restart` swaps the pool and loses only what was posted (net/core/netdev_rx_queue.c).
"""

from __future__ import annotations

from collections import deque

import msgspec

from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PagePool


class RxCounters(msgspec.Struct):
    """netdev.yaml's qstats of one rx queue; *_wire_* count what super-packets stand for."""

    rx_packets: int = 0
    rx_bytes: int = 0
    rx_alloc_fail: int = 0
    rx_hw_drops: int = 0
    rx_hw_drop_overruns: int = 0
    rx_csum_none: int = 0
    rx_csum_bad: int = 0
    rx_hw_gro_packets: int = 0
    rx_hw_gro_bytes: int = 0
    rx_hw_gro_wire_packets: int = 0
    rx_hw_gro_wire_bytes: int = 0
    rx_wire_packets: int = 0


class HsplitCounters(msgspec.Struct):
    """What a driver counts beyond netdev.yaml; the names are GVE's."""

    rx_hsplit_pkt: int = 0
    rx_hsplit_bytes: int = 0
    rx_hsplit_unsplit_pkt: int = 0


class RxQueue:
    def __init__(self, queue_id: int, pool: PagePool, ring_size: int) -> None:
        self.id = queue_id
        self.pool = pool
        self.ring_size = ring_size
        self.counters = RxCounters()
        self.hsplit = HsplitCounters()
        self._posted: deque[Netmem] = deque()

    @property
    def posted(self) -> int:
        return len(self._posted)

    def fill(self) -> None:
        """Post buffers until the ring is full or the pool is dry."""
        posted, alloc = self._posted, self.pool.alloc_netmem
        for _ in range(self.ring_size - len(posted)):
            netmem = alloc()
            if netmem is None:
                self.counters.rx_alloc_fail += 1
                return
            posted.append(netmem)

    def take(self, count_bytes: int) -> list[Netmem] | None:
        """Posted buffers for a payload of `count_bytes`, each with one reference; None and a counted
        drop when too few are posted."""
        count = -(-count_bytes // self.pool.provider.size)
        if len(self._posted) < count:
            self.fill()
            if len(self._posted) < count:
                self.counters.rx_hw_drop_overruns += 1
                return None
        pop = self._posted.popleft
        return [pop() for _ in range(count)]

    def empty(self) -> None:
        """Give back what is posted; the next packet finds the ring filled anew."""
        for netmem in self._posted:
            netmem.put()
        self._posted.clear()

    def restart(self, pool: PagePool) -> None:
        """Stop, swap the memory, start: the old pool drains as its netmems come back."""
        old = self.pool
        self.empty()
        self.pool = pool
        old.destroy()
