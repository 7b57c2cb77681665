"""One rx queue: the buffers posted to the NIC, and the page pool they come from.

In: netmems from the page pool (`fill`), the length of a payload (`take`). Out: netmems to place the payload
in; None if too few are posted: the frame is dropped and counted, and TCP sees loss. Owns the posted netmems.
`restart` changes the page pool; only posted buffers are given up (net/core/netdev_rx_queue.c).
"""

from __future__ import annotations

from collections import deque

from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PagePool
from nodes.nic.counters import HsplitCounters, RxCounters


class RxQueue:
    def __init__(self, queue_id: int, pool: PagePool, ring_size: int) -> None:
        self.id = queue_id
        self.pool = pool
        self.ring_size = ring_size
        self._counters = RxCounters()
        self._hsplit = HsplitCounters()
        # What every frame adds to: numbers of this compiled class, which take a tenth of a record's time.
        self._packets = self._bytes = self._wire_packets = 0
        self._gro_packets = self._gro_bytes = self._gro_wire_packets = self._gro_wire_bytes = 0
        self._hsplit_packets = self._hsplit_bytes = 0
        self._posted: deque[Netmem] = deque()
        self.scarce = False  # the last payload was placed in one of the last buffers
        self.starved = False  # a frame was dropped for want of buffers; the reader may set it to False

    @property
    def counters(self) -> RxCounters:
        """What was counted so far; whoever wants to know more later asks again. What is rare is added to this
        record, what each frame adds is told to `count`."""
        counters = self._counters
        counters.rx_packets, counters.rx_bytes = self._packets, self._bytes
        counters.rx_wire_packets = self._wire_packets
        counters.rx_hw_gro_packets, counters.rx_hw_gro_bytes = self._gro_packets, self._gro_bytes
        counters.rx_hw_gro_wire_packets = self._gro_wire_packets
        counters.rx_hw_gro_wire_bytes = self._gro_wire_bytes
        return counters

    @property
    def hsplit(self) -> HsplitCounters:
        """Likewise of header split; `count_split` takes what each frame adds."""
        hsplit = self._hsplit
        hsplit.rx_hsplit_pkt, hsplit.rx_hsplit_bytes = self._hsplit_packets, self._hsplit_bytes
        return hsplit

    def count(self, frame_bytes: int, header_bytes: int, wire_packets: int) -> None:
        """A frame was received, coalesced from so many wire packets."""
        self._packets += 1
        self._bytes += frame_bytes
        self._wire_packets += wire_packets
        if wire_packets > 1:
            self._gro_packets += 1
            self._gro_bytes += frame_bytes
            self._gro_wire_packets += wire_packets
            self._gro_wire_bytes += frame_bytes + (wire_packets - 1) * header_bytes

    def count_split(self, header_bytes: int) -> None:
        """A frame with payload came while header split was on: so many bytes were split off, or 0."""
        self._hsplit_packets += 1
        self._hsplit_bytes += header_bytes

    @property
    def reserve(self) -> int:
        """How many buffers are the last ones, when no others are left: a quarter of the ring or of the
        memory."""
        return max(1, min(self.ring_size, self.pool.provider.total) // 4)

    @property
    def posted(self) -> int:
        """How many buffers are posted."""
        return len(self._posted)

    @property
    def peak_share(self) -> float:
        """The most of the memory that packets and applications have held at once (0 to 1), of what the page
        pool may have: the whole provider, or its limit. Since `restart_peak`."""
        return self._share(self.pool.peak)

    @property
    def recent_share(self) -> float:
        """Likewise since `restart_recent`."""
        return self._share(self.pool.recent_peak)

    @property
    def share(self) -> float:
        """What packets and applications hold now, likewise."""
        return self._share(self.pool.in_use(self.posted))

    def _share(self, in_use: int) -> float:
        may_have = min(self.pool.provider.total, self.pool.limit)
        return min(1.0, in_use / max(1, may_have))

    def restart_peak(self) -> None:
        """The highest use from now on."""
        self.pool.restart_peak(self.posted)

    def restart_recent(self) -> None:
        """Likewise of `recent_share`; `peak_share` stays."""
        self.pool.restart_recent(self.posted)

    def fill(self) -> None:
        """Post buffers until the ring is full or the pool has none left."""
        posted, pool = self._posted, self.pool
        for _ in range(self.ring_size - len(posted)):
            netmem = pool.alloc_netmem()
            if netmem is None:
                self._counters.rx_alloc_fail += 1
                return
            posted.append(netmem)

    def take(self, count_bytes: int) -> list[Netmem] | None:
        """Posted buffers for a payload of `count_bytes`, each with one reference. None: too few are posted,
        even after a refill; the drop is counted."""
        pool = self.pool
        count = -(-count_bytes // pool.netmem_bytes)
        left = len(self._posted) - count
        self.scarce = False
        if left < self.ring_size >> 2:
            self.fill()
            left = len(self._posted) - count
            if left < 0:
                self._counters.rx_hw_drop_overruns += 1
                self.starved = True
                return None
            self.scarce = left < self.reserve
        if (in_use := pool.in_use(left)) > pool.peak_in_use:
            pool.peak_in_use = in_use
        pop = self._posted.popleft
        return [pop() for _ in range(count)]

    def empty(self) -> None:
        """Give the posted buffers back. The next `take` refills the ring."""
        for netmem in self._posted:
            netmem.put()
        self._posted.clear()

    def restart(self, pool: PagePool) -> None:
        """Continue with another page pool. The old one is destroyed, and drains as its netmems come back."""
        old = self.pool
        self.empty()
        self.pool = pool
        old.destroy()
