"""The netdev family: bind a dma-buf to rx queues or for sending, and look at queues and page pools.

In: records of nodes.netlink and descriptors. Out: records, NetlinkError. Owns the bindings; who bound
says when they end (`unbind`). The order of checks is bind-rx's in the kernel, and a bind is all or
nothing. Source: net/core/netdev-genl.c, net/core/devmem.c, net/core/netdev_rx_queue.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import msgspec

from nodes import netlink
from nodes.control.netlink_error import NetlinkError
from nodes.machine import dmabuf
from nodes.netmem.binding import Binding, RxBinding, TxBinding
from nodes.netmem.page_pool import PagePool
from nodes.nic.net_device import NetDevice, TcpDataSplit
from nodes.nic.rx_queue import RxQueue
from nodes.uapi import PAGE_SIZE

RX_PAGE_SIZE_MAX = 64 << 10

_B = TypeVar("_B", bound=Binding)
_V = TypeVar("_V")


class Netdev:
    def __init__(self, device: NetDevice) -> None:
        self.device = device
        self._bindings: dict[int, Binding] = {}
        self._next_id = 1  # increases and is not reused soon, as the kernel's cyclic ids

    # --- bind

    def bind_rx(self, request: netlink.BindRx, fd: int, privileged: bool) -> RxBinding:
        """Bind the dma-buf behind `fd` (taken over, closed on failure) to rx queues.

        Table A: EPERM, EINVAL, ENODEV, EOPNOTSUPP, EBADF, EEXIST.
        """
        with _closed_on_error(fd):
            if not privileged:
                raise NetlinkError(errno.EPERM, "bind-rx needs CAP_NET_ADMIN")
            _require(request.ifindex, "ifindex")
            _require(request.fd, "fd")
            _require(request.queues or None, "queues")
            niov_size = _niov_size(request.rx_page_size)
            self._check_device(request.ifindex)
            queues = self._queues(request.queues)
        region = dmabuf.attach(fd)
        with ExitStack() as undo:
            undo.callback(region.close)
            binding = RxBinding(self._next_id, self.device.ifindex, region, self._freed, niov_size)
            undo.pop_all()
        with ExitStack() as undo:
            undo.callback(self.unbind, binding)
            for rxq in queues:
                self._check_queue(rxq)
                rxq.restart(binding.page_pool(rxq.ring_size))
            undo.pop_all()
        return self._bound(binding)

    def bind_tx(self, request: netlink.BindTx, fd: int) -> TxBinding:
        """Bind the dma-buf behind `fd` (taken over) for sending. EINVAL, ENODEV, EOPNOTSUPP, EBADF."""
        with _closed_on_error(fd):
            _require(request.ifindex, "ifindex")
            _require(request.fd, "fd")
            self._check_device(request.ifindex)
            if not self.device.netmem_tx:
                raise NetlinkError(errno.EOPNOTSUPP, "the driver does not support netmem TX")
        region = dmabuf.attach(fd)
        with ExitStack() as undo:
            undo.callback(region.close)
            binding = TxBinding(self._next_id, self.device.ifindex, region, self._freed)
            undo.pop_all()
        return self._bound(binding)

    def _bound(self, binding: _B) -> _B:
        self._bindings[binding.dmabuf_id] = binding
        self._next_id += 1
        return binding

    def _check_device(self, ifindex: int | None) -> None:
        if ifindex != self.device.ifindex:
            raise NetlinkError(
                errno.ENODEV,
                f"no device has ifindex {ifindex}, this host's has {self.device.ifindex}",
                "ifindex",
            )

    def _queues(self, wanted: tuple[netlink.Queue, ...]) -> list[RxQueue]:
        """The queues named, once each, in ascending order (netdev_nl_read_rxq_bitmap)."""
        chosen: set[int] = set()
        for queue in wanted:
            queue_id = _require(queue.id, "queues.id")
            if _require(queue.type, "queues.type") != "rx":
                raise NetlinkError(
                    errno.EINVAL, f"queue {queue_id} is a tx queue: bind rx queues", "queues.type"
                )
            if queue_id >= len(self.device.rx_queues):
                raise NetlinkError(
                    errno.EINVAL,
                    f"rx queue {queue_id} does not exist, the device has {len(self.device.rx_queues)}",
                    "queues.id",
                )
            chosen.add(queue_id)
        return [self.device.rx_queues[i] for i in sorted(chosen)]

    def _check_queue(self, rxq: RxQueue) -> None:
        """__net_mp_open_rxq: may this queue get a memory provider?"""
        rings = self.device.rings
        if rings.tcp_data_split is not TcpDataSplit.ENABLED:
            raise NetlinkError(errno.EINVAL, "tcp-data-split is not enabled: set the ring parameter first")
        if rings.hds_thresh:
            raise NetlinkError(errno.EINVAL, f"hds-thresh is {rings.hds_thresh}: set it to 0 first")
        if rxq.pool.provider.dmabuf_id:
            raise NetlinkError(errno.EEXIST, f"rx queue {rxq.id} has a memory provider already")

    # --- unbind

    def unbind(self, binding: Binding) -> None:
        """Give its queues ordinary pages again; the memory goes when nobody holds any of it."""
        for rxq in self.device.rx_queues:
            if rxq.pool.provider.dmabuf_id == binding.dmabuf_id:
                rxq.restart(self.device.host_pool())
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

    # --- look

    def dev_get(self, dump: netlink.Dump) -> list[netlink.Device]:
        return [netlink.Device(self.device.ifindex)] if self._selected(dump) else []

    def queue_get(self, dump: netlink.Dump) -> list[netlink.QueueInfo]:
        ifindex = self.device.ifindex
        if not self._selected(dump):
            return []
        rx = [
            netlink.QueueInfo(q.id, ifindex, "rx", q.pool.provider.dmabuf_id or None)
            for q in self.device.rx_queues
        ]
        return [*rx, netlink.QueueInfo(0, ifindex, "tx")]

    def page_pool_get(self, dump: netlink.Dump) -> list[netlink.PagePoolInfo]:
        return [
            netlink.PagePoolInfo(
                pool.id, self.device.ifindex, pool.inflight, pool.inflight * pool.provider.size,
                pool.provider.dmabuf_id or None,
            )
            for pool in self._pools(dump)
        ]  # fmt: skip

    def page_pool_stats_get(self, dump: netlink.Dump) -> list[dict[str, object]]:
        """The 11 counters of each pool, under its id."""
        ifindex = self.device.ifindex
        return [
            {"info": {"id": pool.id, "ifindex": ifindex}, **_kebab(msgspec.to_builtins(pool.stats))}
            for pool in self._pools(dump)
        ]

    def qstats_get(self, dump: netlink.Dump) -> list[dict[str, object]]:
        """Counters of the device, or of each queue with scope "queue"."""
        if not self._selected(dump):
            return []
        ifindex = self.device.ifindex
        rx = [msgspec.to_builtins(q.counters) for q in self.device.rx_queues]
        tx = msgspec.to_builtins(self.device.tx.counters)
        if dump.scope == "queue":
            rows = [
                {"ifindex": ifindex, "queue-type": "rx", "queue-id": i, **_kebab(row)}
                for i, row in enumerate(rx)
            ]
            return [*rows, {"ifindex": ifindex, "queue-type": "tx", "queue-id": 0, **_kebab(tx)}]
        total = {name: sum(row[name] for row in rx) for name in rx[0]}
        return [{"ifindex": ifindex, **_kebab(total), **_kebab(tx)}]

    def _selected(self, dump: netlink.Dump) -> bool:
        return dump.ifindex in (None, self.device.ifindex)

    def _pools(self, dump: netlink.Dump) -> list[PagePool]:
        return [q.pool for q in self.device.rx_queues] if self._selected(dump) else []


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if fd >= 0:
            os.close(fd)
        raise


def _require(value: _V | None, attribute: str) -> _V:
    if value is None:
        raise NetlinkError(errno.EINVAL, f"attribute {attribute!r} is missing", attribute)
    return value


def _niov_size(rx_page_size: int | None) -> int:
    if rx_page_size is None:
        return PAGE_SIZE
    if rx_page_size < PAGE_SIZE or rx_page_size & (rx_page_size - 1):
        raise NetlinkError(
            errno.EINVAL,
            f"rx-page-size {rx_page_size} must be a power of 2 and {PAGE_SIZE} at least",
            "rx-page-size",
        )
    if rx_page_size > RX_PAGE_SIZE_MAX:
        raise NetlinkError(
            errno.EOPNOTSUPP,
            f"the device does not support an rx-page-size of {rx_page_size}, {RX_PAGE_SIZE_MAX} at most",
            "rx-page-size",
        )
    return rx_page_size


def _kebab(counters: dict[str, object]) -> dict[str, object]:
    return {name.replace("_", "-"): value for name, value in counters.items()}
