"""The netdev family's queries: devices, their queues, NAPIs, page pools and counters.

In: records of nodes.uapi.netlink. Out: one record for a do, a list of records for a dump, NetlinkError. A
dump goes through the host's devices in ifindex order. Owns nothing. Source: net/core/netdev-genl.c,
net/core/page_pool_user.c.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import msgspec

from nodes.control.devices import LOOPBACK_IFINDEX, Devices
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.netmem.page_pool import PagePool
from nodes.nic.counters import RxCounters, TxCounters
from nodes.nic.net_device import NetDevice
from nodes.nic.rx_queue import RxQueue
from nodes.nic.tx_queue import TxQueue
from nodes.uapi import netlink

# The loopback device has neither a NAPI nor counters of queues. Dumps of every device leave it out: the host
# has no such device.
_LOOPBACK_QUEUES = [netlink.QueueInfo(0, kind, LOOPBACK_IFINDEX) for kind in ("rx", "tx")]
_QSTATS = frozenset(netlink.Qstats.__struct_fields__)


class NetdevGet:
    """One method an operation, of one host's devices."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    # --- devices, their queues and NAPIs

    def dev_get(self, request: netlink.IfindexOnly) -> netlink.Device:
        """EINVAL without an ifindex, ENODEV for a device that does not exist."""
        if self._is_loopback(ifindex := require(request.ifindex, "ifindex")):
            return netlink.Device(ifindex, (), (), ())
        return _device_info(self._devices.find(ifindex))

    def dev_dump(self, _: netlink.Empty) -> list[netlink.Device]:
        return [_device_info(device) for device in self._devices.values()]

    def queue_get(self, request: netlink.QueueGet) -> netlink.QueueInfo:
        """EINVAL when id, type or ifindex is missing or no queue has the id, ENODEV, ENOENT while the device
        is down."""
        queue_id, kind = require(request.id, "id"), require(request.type, "type")
        is_rx, ifindex = kind in ("rx", 0), require(request.ifindex, "ifindex")
        if self._is_loopback(ifindex):
            queues = _LOOPBACK_QUEUES[:1] if is_rx else _LOOPBACK_QUEUES[1:]
        else:
            queues = self._queues_of(self._devices.find(ifindex), is_rx)
        if queue_id >= len(queues):
            text = f"there is no {queues[0].type} queue {queue_id}: there are {len(queues)}"
            raise NetlinkError(errno.EINVAL, text, "id")
        return queues[queue_id]

    def _is_loopback(self, ifindex: int | None) -> bool:
        return ifindex == LOOPBACK_IFINDEX and ifindex not in self._devices

    def _queues_of(self, device: NetDevice, is_rx: bool) -> list[netlink.QueueInfo]:
        if not device.up:
            raise NetlinkError(errno.ENOENT, f"{device.name} is down, and has no queues")
        return _rx_queues(device) if is_rx else _tx_queues(device)

    def queue_dump(self, request: netlink.IfindexOnly) -> list[netlink.QueueInfo]:
        """Of devices that are up. ENODEV for a device that does not exist."""
        if self._is_loopback(request.ifindex):
            return _LOOPBACK_QUEUES
        devices = self._up(request.ifindex)
        return [queue for device in devices for queue in (*_rx_queues(device), *_tx_queues(device))]

    def napi_get(self, request: netlink.NapiGet) -> netlink.NapiInfo:
        """EINVAL without an id, ENOENT for a NAPI that does not exist."""
        napi_id = require(request.id, "id")
        for napi in self.napi_dump(netlink.IfindexOnly()):
            if napi.id == napi_id:
                return napi
        raise NetlinkError(errno.ENOENT, f"there is no NAPI {napi_id}", "id")

    def napi_dump(self, request: netlink.IfindexOnly) -> list[netlink.NapiInfo]:
        """Of each device the highest id first, as in the kernel. ENODEV for a device that does not exist."""
        return [
            _napi_info(device, rxq.id)
            for device in self._up(request.ifindex)
            for rxq in reversed(device.rx_queues)
        ]

    def _up(self, ifindex: int | None) -> list[NetDevice]:
        if self._is_loopback(ifindex):
            return []
        return [device for device in self._devices.dumped(ifindex) if device.up]

    # --- page pools

    def page_pool_get(self, request: netlink.PagePoolGet) -> netlink.PagePoolInfo:
        """EINVAL without an id, ENOENT for a page pool that does not exist."""
        return _pool_info(*self._pool(require(request.id, "id"), "id"))

    def page_pool_dump(self, _: netlink.Empty) -> list[netlink.PagePoolInfo]:
        """Detached page pools are listed until their last netmem is back."""
        return [_pool_info(device, pool) for device, pool in self._pools()]

    def page_pool_stats_get(self, request: netlink.PagePoolStatsGet) -> netlink.PagePoolStats:
        """EINVAL when info or its id is missing and when info has an ifindex, ENOENT for a page pool that
        does not exist."""
        info = require(request.info, "info")
        wanted = require(info.id, "info.id")
        if info.ifindex is not None:
            raise NetlinkError(errno.EINVAL, "a page pool is selected by id, not by ifindex", "info.ifindex")
        return _pool_stats(*self._pool(wanted, "info.id"))

    def page_pool_stats_dump(self, _: netlink.Empty) -> list[netlink.PagePoolStats]:
        return [_pool_stats(device, pool) for device, pool in self._pools()]

    def _pools(self) -> Iterator[tuple[NetDevice, PagePool]]:
        for device in self._devices.values():
            yield from ((device, rxq.pool) for rxq in device.rx_queues if device.up)
            yield from ((device, pool) for pool in device.detached_pools if pool.inflight)

    def _pool(self, wanted: int, attribute: str) -> tuple[NetDevice, PagePool]:
        for device, pool in self._pools():
            if pool.id == wanted:
                return device, pool
        raise NetlinkError(errno.ENOENT, f"there is no page pool {wanted}", attribute)

    # --- counters

    def qstats_dump(self, request: netlink.QstatsGet) -> list[netlink.Qstats]:
        """With scope "queue" a record for each queue in use of the devices that are up, else one for each
        device, whose sums include the queues that are not in use. ENODEV for a device that does not exist."""
        devices = self._devices.dumped(request.ifindex)
        if request.scope:
            return [row for device in devices if device.up for row in _queue_stats(device)]
        return [_device_stats(device) for device in devices]


def _device_info(device: NetDevice) -> netlink.Device:
    return netlink.Device(device.ifindex, (), (), ())


# --- queues: each rx queue has a NAPI of its own, a tx queue shares that of the rx queue with its number


def _napi_id(device: NetDevice, queue_id: int) -> int:
    return device.first_napi_id + queue_id


def _napi_info(device: NetDevice, queue_id: int) -> netlink.NapiInfo:
    kernel, napi_id = device.config.kernel, _napi_id(device, queue_id)
    if not kernel.napi_settings:
        return netlink.NapiInfo(napi_id, device.ifindex)
    threaded = "disabled" if kernel.napi_threaded else None
    return netlink.NapiInfo(napi_id, device.ifindex, threaded, 0, 0, 0)


def _rx_queues(device: NetDevice) -> list[netlink.QueueInfo]:
    return [
        netlink.QueueInfo(
            q.id, "rx", device.ifindex, _napi_id(device, q.id), q.pool.provider.dmabuf_id or None
        )
        for q in device.rx_queues
    ]


def _tx_queues(device: NetDevice) -> list[netlink.QueueInfo]:
    ids = range(device.tx_queue_count)
    return [netlink.QueueInfo(i, "tx", device.ifindex, _napi_id(device, i)) for i in ids]


def _pool_info(device: NetDevice, pool: PagePool) -> netlink.PagePoolInfo:
    detached = device.detached_pools.get(pool)
    napis = [_napi_id(device, rxq.id) for rxq in device.rx_queues if rxq.pool is pool]
    return netlink.PagePoolInfo(
        id=pool.id,
        ifindex=device.ifindex,
        inflight=pool.inflight,
        inflight_mem=pool.inflight * pool.provider.size,
        napi_id=napis[0] if napis else None,
        detach_time=None if detached is None else int(detached),
        dmabuf=pool.provider.dmabuf_id or None,
    )


def _pool_stats(device: NetDevice, pool: PagePool) -> netlink.PagePoolStats:
    info = netlink.PagePoolRef(pool.id, device.ifindex)
    return netlink.PagePoolStats(info, **msgspec.structs.asdict(pool.stats))


# --- counters


def _queue_stats(device: NetDevice) -> list[netlink.Qstats]:
    ifindex, tx = device.ifindex, _tx(device.tx)
    rx = [netlink.Qstats(ifindex, "rx", rxq.id, **_rx(rxq)) for rxq in device.rx_queues]
    idle = dict.fromkeys(tx, 0)
    ids = range(device.tx_queue_count)
    return [*rx, *(netlink.Qstats(ifindex, "tx", i, **(idle if i else tx)) for i in ids)]


def _device_stats(device: NetDevice) -> netlink.Qstats:
    rows = [_rx(rxq) for rxq in device.all_rx_queues]
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    overruns = device.overruns()
    total["rx_hw_drops"] += overruns + device.rx_steering_drops
    total["rx_hw_drop_overruns"] += overruns
    return netlink.Qstats(device.ifindex, None, None, **total, **_tx(device.tx))


def _rx(rxq: RxQueue) -> dict[str, int]:
    c = rxq.counters
    return _spec_names(c) | {
        "rx_packets": c.rx_wire_packets,
        "rx_bytes": c.rx_bytes + c.rx_hw_gro_wire_bytes - c.rx_hw_gro_bytes,
        "rx_csum_unnecessary": c.rx_packets - c.rx_csum_none,
    }


def _tx(txq: TxQueue) -> dict[str, int]:
    c = txq.counters
    return _spec_names(c) | {
        "tx_packets": c.tx_wire_packets,
        "tx_bytes": c.tx_bytes + c.tx_hw_gso_wire_bytes - c.tx_hw_gso_bytes,
        "tx_needs_csum": c.tx_wire_packets - c.tx_csum_none,
    }


def _spec_names(counters: RxCounters | TxCounters) -> dict[str, int]:
    """The counters that netdev.yaml has. Its packets and bytes are the wire's, a queue's own are frames."""
    return {name: value for name, value in msgspec.structs.asdict(counters).items() if name in _QSTATS}
