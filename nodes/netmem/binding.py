"""A binding: one dma-buf bound to rx queues of one device, or to a device for sending.

In: an imported dma-buf. Out: net_iovs for page pools (rx), one net_iov that spans the whole buffer (tx).
Owns the mapping, which lives until it was unbound and every reference is back: outstanding tokens keep
it, packets in flight keep it. Source: struct net_devmem_dmabuf_binding, net/core/devmem.c.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from nodes.machine.memory import Region
from nodes.netmem.memory_provider import DmabufNetIovs
from nodes.netmem.netmem import NetIov, Netmem
from nodes.netmem.page_pool import CAPABLE, Napi, PagePool, PoolParams, PoolTrace
from nodes.uapi.socket import PAGE_SIZE

Freed = Callable[["Binding"], None]


class Binding:
    """`freed` is called once, when the memory has gone."""

    def __init__(self, dmabuf_id: int, ifindex: int, region: Region, freed: Freed) -> None:
        self.dmabuf_id = dmabuf_id
        self.ifindex = ifindex
        self.region = region
        self.bound = True
        self._users = 1  # the binding itself; pools and packets add theirs
        self._freed = freed

    def unbind(self) -> None:
        """The user's reference goes; idempotent."""
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
    """Page pools take `bulk` net_iovs at once. Raises OSError EINVAL when the dma-buf is not a multiple of
    the net_iov size."""

    def __init__(
        self, dmabuf_id: int, ifindex: int, region: Region, freed: Freed, niov_size: int, bulk: int = 1
    ) -> None:
        super().__init__(dmabuf_id, ifindex, region, freed)
        if region.size % niov_size:
            raise OSError(
                errno.EINVAL, f"dma-buf size {region.size} is not a multiple of the net_iov size {niov_size}"
            )
        self.provider = DmabufNetIovs(region, niov_size, dmabuf_id, bulk)

    def page_pool(
        self,
        ring_size: int,
        trace: PoolTrace | None = None,
        params: PoolParams = CAPABLE,
        napi: Napi | None = None,
    ) -> PagePool:
        """A pool of this binding's net_iovs for one queue; the memory outlives it. Raises OSError for the
        pools of a driver that net_iovs cannot serve: ENODATA (page_pool_check_memory_provider),
        EOPNOTSUPP (page_pool_init), E2BIG (mp_dmabuf_devmem_init)."""
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
        return PagePool(self.provider, ring_size, on_drained=self._put, trace=trace, napi=napi)


class TxBinding(Binding):
    """Sends from the buffer. One net_iov spans it: packets in flight count on it, and so pin the
    binding, and neighbouring bytes stay one fragment. The kernel cuts at every page; an application
    cannot tell, and in Python each fragment costs a microsecond."""

    def __init__(self, dmabuf_id: int, ifindex: int, region: Region, freed: Freed) -> None:
        super().__init__(dmabuf_id, ifindex, region, freed)
        if region.size % PAGE_SIZE:
            raise OSError(
                errno.EINVAL, f"TX dma-buf size {region.size} is not a multiple of PAGE_SIZE {PAGE_SIZE}"
            )
        self._area = NetIov(region, 0, region.size, dmabuf_id)
        self._area.owner = self

    def check(self, offset: int, length: int) -> None:
        """Raises OSError EFAULT when the range runs past the buffer (net_devmem_get_niov_at)."""
        if offset < 0 or offset + length > self.region.size:
            raise OSError(
                errno.EFAULT, f"bytes {offset} to {offset + length} leave the dma-buf of {self.region.size}"
            )

    def netmem(self) -> Netmem:
        """The net_iov of the whole buffer, with a reference taken."""
        if self._area.pp_ref_count == 0:
            self._get()
        self._area.get()
        return self._area

    def put_netmem(self, netmem: Netmem) -> None:  # noqa: ARG002 - there is but one
        """The last packet that sends from here has gone."""
        self._put()
