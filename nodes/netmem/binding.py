"""A binding: one dma-buf bound to rx queues of one device, or to one device for sending.

In: an imported dma-buf. Out: page pools of its net_iovs (rx); one net_iov that spans the whole buffer (tx).
Owns the mapping. It is unmapped when the binding is unbound and the last reference is put: net_iovs whose
tokens an application has not returned keep it, and so do packets in flight.
Source: struct net_devmem_dmabuf_binding, net/core/devmem.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from nodes.machine.memory import Region
from nodes.netmem.memory_provider import DmabufNetIovs
from nodes.netmem.netmem import NetIov, Netmem
from nodes.netmem.page_pool import CAPABLE, PagePool, PoolContext, PoolParams
from nodes.uapi.socket import PAGE_SIZE

Freed = Callable[["Binding"], None]


class Binding:
    """`freed` is called once, when the dma-buf is unmapped."""

    def __init__(self, dmabuf_id: int, ifindex: int, region: Region, freed: Freed) -> None:
        self.dmabuf_id = dmabuf_id
        self.ifindex = ifindex
        self.region = region
        self.bound = True
        self._users = 1  # the user's reference; pools and packets in flight take further ones
        self._freed = freed

    def unbind(self) -> None:
        """Put the user's reference. Idempotent."""
        if self.bound:
            self.bound = False
            self._put()

    def _get(self) -> None:
        self._users += 1

    def _put(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.region.close()
            self._freed(self)


class RxBinding(Binding):
    """A binding to rx queues, whose page pools take net_iovs of `niov_size` bytes from a provider of the
    `kind`."""

    def __init__(
        self,
        dmabuf_id: int,
        ifindex: int,
        region: Region,
        freed: Freed,
        niov_size: int,
        kind: type[DmabufNetIovs] = DmabufNetIovs,
    ) -> None:
        super().__init__(dmabuf_id, ifindex, region, freed)
        self.provider = kind(region, niov_size, dmabuf_id)

    def page_pool(self, ring_size: int, context: PoolContext, params: PoolParams = CAPABLE) -> PagePool:
        """A page pool of this binding's net_iovs for one queue, which keeps the dma-buf mapped until it has
        drained. `context` and `params`: of the queue's device and of its driver.

        Raises OSError where the driver's pools cannot be served with net_iovs: ENODATA
        (page_pool_check_memory_provider), EOPNOTSUPP (page_pool_init), E2BIG (mp_dmabuf_devmem_init).
        """
        if not params.unreadable:
            raise OSError(errno.ENODATA, "the driver made a page pool without the queue's memory provider")
        if not params.dma_sync:
            raise OSError(errno.EOPNOTSUPP, "the driver's page pool is not mapped and synced for DMA")
        if params.order is not None and PAGE_SIZE << params.order != self.provider.size:
            raise OSError(
                errno.E2BIG,
                f"the driver's page pool has netmems of {PAGE_SIZE << params.order} bytes, "
                f"the binding has net_iovs of {self.provider.size}",
            )
        self._get()
        return PagePool(self.provider, ring_size, on_drained=self._put, context=context)


class TxBinding(Binding):
    """A binding to a device for sending. One net_iov spans the whole buffer; packets in flight hold
    references to it, and so keep the dma-buf mapped. The kernel has a net_iov for each page. An application
    sees no difference, and here adjacent bytes stay one fragment: each fragment takes a microsecond.
    `sendable_bytes`: those in whole pages. A kernel that takes a dma-buf with bytes behind them reads beyond
    its table of net_iovs when they are sent."""

    def __init__(self, dmabuf_id: int, ifindex: int, region: Region, freed: Freed) -> None:
        super().__init__(dmabuf_id, ifindex, region, freed)
        self.sendable_bytes = region.size // PAGE_SIZE * PAGE_SIZE
        self._area = NetIov(region, 0, self.sendable_bytes, dmabuf_id)
        self._area.owner = self

    def netmem(self) -> Netmem:
        """The net_iov of the whole buffer, with a reference for the caller."""
        if self._area.pp_ref_count == 0:
            self._get()
        self._area.get()
        return self._area

    def put_netmem(self, netmem: Netmem) -> None:  # noqa: ARG002 - the binding has one
        """The last packet that sends from this buffer was freed."""
        self._put()
