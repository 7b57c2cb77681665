"""The netdev family's bind-rx and bind-tx: a dma-buf is bound to rx queues of a device, or to a device for
sending.

In: records of nodes.uapi.netlink and descriptors. Out: bindings, NetlinkError. Owns the bindings of one host,
with ids that are unique in it; the session that bound ends them (`unbind`). The checks come in the order of
the kernel's bind-rx, and a bind happens whole or not at all. Before 6.18 bind-rx reads its queues one by one
behind the dma-buf: a queue named twice has a memory provider the second time. Source: net/core/netdev-genl.c,
net/core/devmem.c, net/core/netdev_rx_queue.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TypeVar

from nodes.control.devices import Devices
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.kernel_version import KernelVersion
from nodes.machine import dmabuf
from nodes.machine.memory import Region
from nodes.netmem.binding import Binding, RxBinding, TxBinding
from nodes.netmem.memory_provider import DmabufNetIovs, FreelistNetIovs
from nodes.netmem.page_pool import PagePool
from nodes.nic.net_device import NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.nic.rx_queue import RxQueue
from nodes.uapi import netlink
from nodes.uapi.socket import PAGE_SIZE

_B = TypeVar("_B", bound=Binding)


class Netdev:
    """The bindings of one host's `devices`."""

    def __init__(self, devices: Devices) -> None:
        self.devices = devices
        self._bindings: dict[int, Binding] = {}
        self._next_id = 1  # only increases, as the kernel's cyclic ids do until they wrap

    # --- bind

    def bind_rx(self, request: netlink.BindRx, fd: int, privileged: bool) -> RxBinding:
        """Bind the dma-buf behind `fd` to rx queues. `fd` is taken over, and closed on failure; -1: the
        request brought no descriptor.

        Table A: EPERM, ERANGE, EINVAL, ENODEV, EOPNOTSUPP, EBADF, EEXIST, ENODATA, E2BIG.
        """
        kernel = self.devices.kernel
        with _closed_on_error(fd):
            if not privileged:
                raise NetlinkError(errno.EPERM, "bind-rx needs CAP_NET_ADMIN")
            _check_policy(request, kernel)
            ifindex = require(request.ifindex, "ifindex")
            require(request.fd, "fd")
            require(request.queues or None, "queues")
            niov_size = _niov_size(request.rx_page_size)
            device = self.devices.find(ifindex)
            if kernel.ops_lock:
                _check_queue_management(device, "ifindex")
            queues: Iterable[RxQueue] = _queues(device, request.queues)
            if kernel.queues_first:
                queues = sorted(set(queues), key=lambda rxq: rxq.id)
                _check_dma(device, queues)
        region = _attach(request.fd, fd, device)
        with ExitStack() as undo:
            undo.callback(region.close)
            _check_mapping(device, region, niov_size)
            kind = FreelistNetIovs if kernel.niov_freelist else DmabufNetIovs
            binding = RxBinding(self._take_id(), ifindex, region, self._freed, niov_size, kind)
            undo.pop_all()
        with ExitStack() as undo:
            undo.callback(self.unbind, binding)
            for rxq in queues:
                _check_queue(device, rxq, niov_size)
                params = device.config.nic.pools
                pool = binding.page_pool(rxq.ring_size, device.pool_context, params)
                device.restart_queue(rxq, pool)
            undo.pop_all()
        return self._bound(binding)

    def bind_tx(self, request: netlink.BindTx, fd: int) -> TxBinding:
        """Bind the dma-buf behind `fd` (taken over, as by bind_rx) for sending. EINVAL, ENODEV, EOPNOTSUPP,
        EBADF."""
        kernel = self.devices.kernel
        with _closed_on_error(fd):
            if not kernel.devmem_tx:
                raise NetlinkError(errno.EOPNOTSUPP, "this kernel has no bind-tx")
            ifindex = require(request.ifindex, "ifindex")
            require(request.fd, "fd")
            device = self.devices.find(ifindex)
            if not device.netmem_tx:
                raise NetlinkError(errno.EOPNOTSUPP, "the driver does not support netmem TX")
            if kernel.queues_first:
                _check_dma(device, [])
        region = _attach(request.fd, fd, device)
        with ExitStack() as undo:
            undo.callback(region.close)
            _check_mapping(device, region, PAGE_SIZE)
            binding = TxBinding(self._take_id(), ifindex, region, self._freed)
            undo.pop_all()
        return self._bound(binding)

    def _take_id(self) -> int:
        """The next id. A bind that fails later has used it up."""
        self._next_id += 1
        return self._next_id - 1

    def _bound(self, binding: _B) -> _B:
        self._bindings[binding.dmabuf_id] = binding
        return binding

    # --- unbind

    def unbind(self, binding: Binding) -> None:
        """Give the binding's queues ordinary pages again. The memory is released when its last net_iov is
        back."""
        device = self.devices[binding.ifindex]
        for rxq in device.rx_queues:
            if rxq.pool.provider.dmabuf_id == binding.dmabuf_id:
                device.restart_queue(rxq, device.host_pool())
        binding.unbind()

    # --- the device is closed and opened

    def set_link(self, ifindex: int, up: bool) -> None:
        """IFF_UP has changed. The page pools end with ndo_stop, and drain. The bindings stay: mp_params of
        the queues do, so that ndo_open makes page pools of the same memory providers."""
        device = self.devices[ifindex]
        if up:
            device.open()
        elif device.up:
            for rxq in device.rx_queues:
                device.restart_queue(rxq, self._pool_again(device, rxq))
            device.stop()

    def _pool_again(self, device: NetDevice, rxq: RxQueue) -> PagePool:
        binding = self._bindings.get(rxq.pool.provider.dmabuf_id)
        if isinstance(binding, RxBinding):
            return binding.page_pool(rxq.ring_size, device.pool_context, device.config.nic.pools)
        return device.host_pool()

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


# --- the checks of a bind


def _check_policy(request: netlink.BindRx, kernel: KernelVersion) -> None:
    """What the policy of this kernel's bind-rx says of rx-page-size: EINVAL, ERANGE."""
    name, size = "rx-page-size", request.rx_page_size
    if size is None:
        return
    if not kernel.rx_page_size:
        raise NetlinkError(errno.EINVAL, f"there is no attribute {name!r} in this kernel's bind-rx", name)
    if size < PAGE_SIZE:
        raise NetlinkError(errno.ERANGE, f"{name} {size} is less than a page of {PAGE_SIZE} bytes", name)


def _niov_size(rx_page_size: int | None) -> int:
    """Bytes of a net_iov. EINVAL for a size that a net_iov cannot have."""
    if rx_page_size is None:
        return PAGE_SIZE
    if rx_page_size & (rx_page_size - 1):
        name = "rx-page-size"
        raise NetlinkError(errno.EINVAL, f"{name} {rx_page_size} must be a power of 2", name)
    return rx_page_size


def _check_queue_management(device: NetDevice, attribute: str = "") -> None:
    if not device.config.nic.queue_management:
        raise NetlinkError(errno.EOPNOTSUPP, "the driver has no queue management", attribute)


def _queues(device: NetDevice, wanted: tuple[netlink.Queue, ...]) -> Iterator[RxQueue]:
    """The queues that the request names, one after the other."""
    count, kernel = len(device.rx_queues), device.config.kernel
    for at, queue in enumerate(wanted):
        name = f"queues[{at}]"
        queue_id = require(queue.id, f"{name}.id")
        if require(queue.type, f"{name}.type") not in ("rx", 0):
            text = f"queue {queue_id} is a tx queue: bind rx queues"
            raise NetlinkError(errno.EINVAL, text, f"{name}.type")
        if queue_id >= count:
            text = f"rx queue {queue_id} does not exist, the device has {count}"
            number = errno.EINVAL if kernel.queues_first else errno.ERANGE
            raise NetlinkError(number, text, f"{name}.id")
        yield device.rx_queues[queue_id]


def _check_dma(device: NetDevice, queues: list[RxQueue]) -> None:
    """The device has a DMA device, and all the queues have the same one (netdev_nl_get_dma_dev)."""
    dma_devices = device.config.nic.dma_devices
    if not dma_devices:
        raise NetlinkError(errno.EOPNOTSUPP, "the device does not support DMA")
    for before, rxq in pairwise(queues):
        if (rxq.id - before.id) % dma_devices:
            text = f"rx queues {rxq.id} and {before.id} have different DMA devices: bind them apart"
            raise NetlinkError(errno.EOPNOTSUPP, text)


def _check_mapping(device: NetDevice, region: Region, niov_size: int) -> None:
    """Whether the device can use the dma-buf (net_devmem_bind_dmabuf)."""
    if not device.config.nic.dma_devices:  # dma_buf_attach() to none
        raise NetlinkError(errno.EINVAL, "the device does not support DMA: no dma-buf can be attached")
    if device.config.kernel.whole_niovs and region.size % niov_size:
        text = f"dma-buf size {region.size} is not a multiple of the net_iov size {niov_size}"
        raise NetlinkError(errno.EINVAL, text)


def _check_queue(device: NetDevice, rxq: RxQueue, niov_size: int) -> None:
    """Whether this queue may get a memory provider (netif_mp_open_rxq), and the driver makes a page pool for
    it (netdev_rx_queue_restart)."""
    rings, kernel = device.rings, device.config.kernel
    split = rings.tcp_data_split is TcpDataSplit.ENABLED
    if kernel.hds_thresh and not split:
        text = "tcp-data-split is not enabled: set the ring parameter first"
        raise NetlinkError(errno.EINVAL, text)
    if rings.hds_thresh:
        raise NetlinkError(errno.EINVAL, f"hds-thresh is {rings.hds_thresh}: set it to 0 first")
    maximum = device.config.nic.rx_page_size_max
    if niov_size > maximum:
        text = f"the device does not support an rx-page-size of {niov_size}, {maximum} at most"
        raise NetlinkError(errno.EOPNOTSUPP, text)
    if rxq.pool.provider.dmabuf_id:
        raise NetlinkError(errno.EEXIST, f"rx queue {rxq.id} has a memory provider already")
    _check_queue_management(device)
    if not split:
        text = "tcp-data-split is not enabled: the driver makes no page pool of the dma-buf"
        raise NetlinkError(errno.ENODATA, text)


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if fd >= 0:
            os.close(fd)
        raise


def _attach(number: int | None, fd: int, device: NetDevice) -> Region:
    """Map for `device` the dma-buf that arrived as `fd` (-1: none arrived) and that the caller knows as
    `number`. EBADF, and what the memory refuses."""
    if fd < 0:
        raise NetlinkError(errno.EBADF, f"file descriptor {number} is not open", "fd")
    try:
        return dmabuf.attach(fd, device.name, device.config.counted)
    except OSError as refused:  # its text names `fd`, a number that means nothing to the caller
        errno_there = refused.errno or errno.EIO
        raise NetlinkError(errno_there, f"file descriptor {number}: {refused.strerror}") from None
