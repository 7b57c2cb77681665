"""Net_iovs of which the n-th allocation fails: a test runs for n = 1, 2, … until none did."""

from __future__ import annotations

from nodes.machine.memory import Region
from nodes.netmem.memory_provider import DmabufNetIovs
from nodes.netmem.netmem import Netmem


class FailingNetIovs(DmabufNetIovs):
    """`failed` tells whether it came to the n-th (from 1)."""

    def __init__(self, region: Region, size: int, dmabuf_id: int, n: int) -> None:
        super().__init__(region, size, dmabuf_id)
        self.failed = False
        self._left = n

    def alloc_netmem(self) -> Netmem | None:
        self._left -= 1
        if self._left == 0:
            self.failed = True
            return None
        return super().alloc_netmem()
