"""Host pages for ordinary sends: the kernel's copy of an application's bytes.

In: user memory. Out: payload that TCP may own. Small writes share a page (sk_page_frag, net/core/sock.c).
Owns a page pool and the page being filled.
"""

from __future__ import annotations

import errno

from nodes.machine.cpu import Cpu
from nodes.netmem.memory_provider import HostPages
from nodes.netmem.netmem import Netmem
from nodes.netmem.page_pool import PagePool
from nodes.skb import Frag, Frags

SEND_PAGE_BYTES = 64 << 10


class SendPages:
    def __init__(self, cpu: Cpu, limit_bytes: int, counted: bool = False) -> None:
        self._cpu = cpu
        self._pool = PagePool(HostPages(SEND_PAGE_BYTES, limit_bytes, counted))
        self._page: Netmem | None = None
        self._used = 0

    def copy_from_user(self, source: memoryview) -> Frags:
        """Copy all of `source`. Raises OSError ENOBUFS when there are no pages left."""
        frags: list[Frag] = []
        at = 0
        try:
            while at < len(source):
                page = self._room()
                size = min(page.size - self._used, len(source) - at)
                self._cpu.copy_in(source[at : at + size], page.region, page.offset + self._used)
                page.get()
                frags.append(Frag(page, page.offset + self._used, size))
                self._used += size
                at += size
        except OSError:
            for frag in frags:
                frag.netmem.put()
            raise
        return Frags(frags)

    def _room(self) -> Netmem:
        """The current page if it has room, else the next one; the current page holds a reference of ours."""
        if self._page is not None and self._used == self._page.size:
            self._page.put()
            self._page = None
        if self._page is None:
            self._page = self._pool.alloc_netmem()
            if self._page is None:
                raise OSError(errno.ENOBUFS, "no host pages left for sending")
            self._used = 0
        return self._page

    def close(self) -> None:
        if self._page is not None:
            self._page.put()
            self._page = None
        self._pool.destroy()

    @property
    def inflight(self) -> int:
        """Pages not given back; 0 after close when nothing is in flight."""
        return self._pool.inflight
