"""The netdev family's bind-rx and bind-tx: dma-bufs for rx queues, and for sending.

In: records of nodes.uapi.netlink and descriptors. Out: bindings, NetlinkError. Owns the bindings; who bound
says when they end (`unbind`). The order of checks is bind-rx's in the kernel, and a bind is all or
nothing. Source: net/core/netdev-genl.c, net/core/devmem.c, net/core/netdev_rx_queue.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TypeVar

from nodes.control.netlink_error import NetlinkError
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.netmem.binding import Binding, RxBinding, TxBinding
from nodes.nic.net_device import NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.nic.rx_queue import RxQueue
from nodes.uapi import netlink
from nodes.uapi.socket import PAGE_SIZE

_B = TypeVar("_B", bound=Binding)
_V = TypeVar("_V")


class Netdev:
    def __init__(self, device: NetDevice) -> None:
        self.device = device
        self._bindings: dict[int, Binding] = {}
        self._next_id = 1  # increases and is not reused soon, as the kernel's cyclic ids

    # --- bind

    def bind_rx(self, request: netlink.BindRx, fd: int, privileged: bool) -> RxBinding:
        """Bind the dma-buf behind `fd` (taken over, closed on failure; -1: none came) to rx queues.

        Table A: EPERM, EINVAL, ENODEV, EOPNOTSUPP, EBADF, EEXIST, ENODATA, E2BIG.
        """
        with _closed_on_error(fd):
            if not privileged:
                raise NetlinkError(errno.EPERM, "bind-rx needs CAP_NET_ADMIN")
            require(request.ifindex, "ifindex")
            require(request.fd, "fd")
            require(request.queues or None, "queues")
            niov_size = self._niov_size(request.rx_page_size)
            self._check_device(request.ifindex)
            if not self.device.config.nic.queue_management:
                raise NetlinkError(errno.EOPNOTSUPP, "the driver has no queue management", "ifindex")
            queues = self._queues(request.queues)
            self._check_dma(queues)
        region = _attach(request.fd, fd)
        with ExitStack() as undo:
            undo.callback(region.close)
            bulk = self.device.config.kernel.provider_bulk
            binding = RxBinding(self._next_id, self.device.ifindex, region, self._freed, niov_size, bulk)
            undo.pop_all()
        with ExitStack() as undo:
            undo.callback(self.unbind, binding)
            for rxq in queues:
                self._check_queue(rxq, niov_size)
                device, params = self.device, self.device.config.nic.pools
                pool = binding.page_pool(rxq.ring_size, device.pool_context, params)
                device.restart_queue(rxq, pool)
            undo.pop_all()
        return self._bound(binding)

    def bind_tx(self, request: netlink.BindTx, fd: int) -> TxBinding:
        """Bind the dma-buf behind `fd` (taken over) for sending. EINVAL, ENODEV, EOPNOTSUPP, EBADF."""
        with _closed_on_error(fd):
            if not self.device.config.kernel.devmem_tx:
                raise NetlinkError(errno.EOPNOTSUPP, "this kernel has no bind-tx")
            require(request.ifindex, "ifindex")
            require(request.fd, "fd")
            self._check_device(request.ifindex)
            if not self.device.netmem_tx:
                raise NetlinkError(errno.EOPNOTSUPP, "the driver does not support netmem TX")
            self._check_dma([])
        region = _attach(request.fd, fd)
        with ExitStack() as undo:
            undo.callback(region.close)
            binding = TxBinding(self._next_id, self.device.ifindex, region, self._freed)
            undo.pop_all()
        return self._bound(binding)

    def _bound(self, binding: _B) -> _B:
        self._bindings[binding.dmabuf_id] = binding
        self._next_id += 1
        return binding

    def _niov_size(self, rx_page_size: int | None) -> int:
        """Bytes of a net_iov. EINVAL for a size that is none."""
        if rx_page_size is None:
            return PAGE_SIZE
        name = "rx-page-size"
        if not self.device.config.kernel.rx_page_size:
            raise NetlinkError(errno.EINVAL, f"there is no attribute {name!r} in this kernel's bind-rx", name)
        if rx_page_size < PAGE_SIZE or rx_page_size & (rx_page_size - 1):
            raise NetlinkError(
                errno.EINVAL, f"{name} {rx_page_size} must be a power of 2 and {PAGE_SIZE} at least", name
            )
        return rx_page_size

    def _check_device(self, ifindex: int | None) -> None:
        if ifindex != self.device.ifindex:
            raise NetlinkError(
                errno.ENODEV,
                f"no device has ifindex {ifindex}, this host's has {self.device.ifindex}",
                "ifindex",
            )

    def _check_dma(self, queues: list[RxQueue]) -> None:
        """One DMA device is there, and it is every queue's (netdev_nl_get_dma_dev)."""
        devices = self.device.config.nic.dma_devices
        if not devices:
            raise NetlinkError(errno.EOPNOTSUPP, "the device does not support DMA")
        for before, rxq in pairwise(queues):
            if (rxq.id - before.id) % devices:
                text = f"rx queues {rxq.id} and {before.id} have different DMA devices: bind them apart"
                raise NetlinkError(errno.EOPNOTSUPP, text)

    def _queues(self, wanted: tuple[netlink.Queue, ...]) -> list[RxQueue]:
        """The queues named, once each, in ascending order (netdev_nl_read_rxq_bitmap)."""
        count, kernel = len(self.device.rx_queues), self.device.config.kernel
        chosen: set[int] = set()
        for at, queue in enumerate(wanted):
            name = f"queues[{at}]"
            queue_id = require(queue.id, f"{name}.id")
            if require(queue.type, f"{name}.type") not in ("rx", 0):
                raise NetlinkError(
                    errno.EINVAL, f"queue {queue_id} is a tx queue: bind rx queues", f"{name}.type"
                )
            if queue_id >= count:
                raise NetlinkError(
                    kernel.bad_queue_errno,
                    f"rx queue {queue_id} does not exist, the device has {count}",
                    f"{name}.id",
                )
            if queue_id in chosen and not kernel.duplicate_queue:
                raise NetlinkError(errno.EEXIST, f"rx queue {queue_id} is named twice", f"{name}.id")
            chosen.add(queue_id)
        return [self.device.rx_queues[i] for i in sorted(chosen)]

    def _check_queue(self, rxq: RxQueue, niov_size: int) -> None:
        """__net_mp_open_rxq: may this queue get a memory provider?"""
        rings, kernel = self.device.rings, self.device.config.kernel
        if rings.tcp_data_split is not TcpDataSplit.ENABLED:
            raise NetlinkError(
                kernel.split_off_errno, "tcp-data-split is not enabled: set the ring parameter first"
            )
        if rings.hds_thresh:
            raise NetlinkError(errno.EINVAL, f"hds-thresh is {rings.hds_thresh}: set it to 0 first")
        most = self.device.config.nic.rx_page_size_max
        if niov_size > most:
            text = f"the device does not support an rx-page-size of {niov_size}, {most} at most"
            raise NetlinkError(errno.EOPNOTSUPP, text)
        if rxq.pool.provider.dmabuf_id:
            raise NetlinkError(errno.EEXIST, f"rx queue {rxq.id} has a memory provider already")

    # --- unbind

    def unbind(self, binding: Binding) -> None:
        """Give its queues ordinary pages again; the memory goes when nobody holds any of it."""
        for rxq in self.device.rx_queues:
            if rxq.pool.provider.dmabuf_id == binding.dmabuf_id:
                self.device.restart_queue(rxq, self.device.host_pool())
        binding.unbind()

    def _freed(self, binding: Binding) -> None:
        self._bindings.pop(binding.dmabuf_id, None)

    def tx_binding(self, dmabuf_id: int) -> TxBinding | None:
        """What net_devmem_get_binding finds: None for an unknown id and for an rx binding."""
        binding = self._bindings.get(dmabuf_id)
        return binding if isinstance(binding, TxBinding) else None

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Every binding whose memory is still held, unbound ones included."""
        return tuple(self._bindings.values())


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if fd >= 0:
            os.close(fd)
        raise


def _attach(number: int | None, fd: int) -> Region:
    """What the caller calls `number` and came as `fd`, -1 if it did not come."""
    if fd < 0:
        raise NetlinkError(errno.EBADF, f"file descriptor {number} is not open", "fd")
    try:
        return dmabuf.attach(fd)
    except OSError as refused:  # whose text cannot know the caller's number
        number_there = refused.errno or errno.EIO
        raise NetlinkError(number_there, f"file descriptor {number}: {refused.strerror}") from None


def require(value: _V | None, attribute: str) -> _V:
    """The value of an attribute that must be there; EINVAL when it is not (GENL_REQ_ATTR_CHECK)."""
    if value is None:
        raise NetlinkError(errno.EINVAL, f"attribute {attribute!r} is missing", attribute)
    return value
