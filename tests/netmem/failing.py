"""Net_iovs whose n-th allocation fails: a test runs for n = 1, 2, … until a run has no failure."""

from __future__ import annotations

from nodes.machine.memory import Region
from nodes.netmem.memory_provider import DmabufNetIovs
from nodes.netmem.netmem import Netmem


class FailingNetIovs(DmabufNetIovs):
    """`n` counts from 1. `failed`: the n-th allocation was reached."""

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
