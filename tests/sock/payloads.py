"""Payload in device or host memory with known bytes, every reference counted.

In: lengths. Out: Frags whose bytes are random, by seed. Owns two page pools; `settle` asserts that all came
back.
"""

from __future__ import annotations

import random

from nodes.machine import dmabuf
from nodes.netmem.memory_provider import DmabufNetIovs, HostPages
from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PagePool
from nodes.skb import Frag, Frags, frags_of
from tests.netmem.census import assert_conserved

PAGE = 4096


class Payloads:
    def __init__(self, niovs: int = 256, seed: int = 1) -> None:
        self._region = dmabuf.export(niovs * PAGE)
        self.provider = DmabufNetIovs(self._region, PAGE, 5)
        self._device = PagePool(self.provider)
        self._host = PagePool(HostPages(PAGE, 1 << 20))
        self._random = random.Random(seed)

    def netmem(self, unreadable: bool = True) -> Netmem:
        """One netmem with a reference that is the caller's."""
        netmem = (self._device if unreadable else self._host).alloc_netmem()
        assert netmem is not None
        netmem.region.view[netmem.offset : netmem.offset + PAGE] = self._random.randbytes(PAGE)
        return netmem

    def frags(self, length: int, unreadable: bool = True) -> Frags:
        """As a frame leaves it: whole netmems, the last one in part."""
        return frags_of([self.netmem(unreadable) for _ in range(-(-length // PAGE))], length)

    def settle(self) -> None:
        """Nothing is held any more."""
        assert_conserved(self.provider, [self._device])
        for pool in (self._device, self._host):
            pool.destroy()
            assert pool.inflight == 0
        self._region.close()


def contents(frags: list[Frag]) -> bytes:
    """What lies where they point: a test may look."""
    return b"".join(bytes(f.netmem.region.view[f.offset : f.offset + f.size]) for f in frags)
