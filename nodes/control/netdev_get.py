"""The netdev family's looks at a device: its queues, NAPIs, page pools and counters.

In: records of nodes.uapi.netlink. Out: records, NetlinkError. Owns nothing; a dump is a list, a do one
record.
Source: net/core/netdev-genl.c, net/core/page_pool_user.c.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import msgspec

from nodes.control.netdev import require
from nodes.control.netlink_error import NetlinkError
from nodes.netmem.page_pool import PagePool
from nodes.nic.net_device import NetDevice
from nodes.nic.rx_queue import RxCounters, RxQueue
from nodes.nic.tx_queue import TxCounters, TxQueue
from nodes.uapi import netlink

NAPI_ID_MIN = 8193  # smaller numbers are CPUs' to the kernel
_QSTATS = frozenset(netlink.Qstats.__struct_fields__)


class NetdevGet:
    def __init__(self, device: NetDevice) -> None:
        self._device = device

    # --- the device, its queues and NAPIs: one NAPI an rx queue, a tx queue with the rx queue of its number

    def dev_get(self, request: netlink.OfDevice) -> netlink.Device:
        """EINVAL without ifindex, ENODEV for a device that is not there."""
        self._check(require(request.ifindex, "ifindex"))
        return netlink.Device(self._device.ifindex, (), (), ())

    def dev_dump(self, _: netlink.Empty) -> list[netlink.Device]:
        return [netlink.Device(self._device.ifindex, (), (), ())]

    def queue_get(self, request: netlink.QueueGet) -> netlink.QueueInfo:
        """EINVAL when id, type or ifindex is missing or there is no such queue, ENODEV."""
        queue_id, kind = require(request.id, "id"), require(request.type, "type")
        self._check(require(request.ifindex, "ifindex"))
        queues = self._rx_queues() if kind in ("rx", 0) else self._tx_queues()
        if queue_id >= len(queues):
            raise NetlinkError(
                errno.EINVAL, f"there is no {queues[0].type} queue {queue_id}: there are {len(queues)}", "id"
            )
        return queues[queue_id]

    def queue_dump(self, request: netlink.OfDevice) -> list[netlink.QueueInfo]:
        """ENODEV for a device that is not there."""
        self._check(request.ifindex)
        return [*self._rx_queues(), *self._tx_queues()]

    def _rx_queues(self) -> list[netlink.QueueInfo]:
        return [
            netlink.QueueInfo(
                q.id, "rx", self._device.ifindex, NAPI_ID_MIN + q.id, q.pool.provider.dmabuf_id or None
            )
            for q in self._device.rx_queues
        ]

    def _tx_queues(self) -> list[netlink.QueueInfo]:
        ids = range(self._device.tx_queue_count)
        return [netlink.QueueInfo(i, "tx", self._device.ifindex, NAPI_ID_MIN + i) for i in ids]

    def napi_get(self, request: netlink.NapiGet) -> netlink.NapiInfo:
        """EINVAL without id, ENOENT for one that is not there."""
        napi_id = require(request.id, "id")
        found = [napi for napi in self.napi_dump(netlink.OfDevice()) if napi.id == napi_id]
        if not found:
            raise NetlinkError(errno.ENOENT, f"there is no NAPI {napi_id}", "id")
        return found[0]

    def napi_dump(self, request: netlink.OfDevice) -> list[netlink.NapiInfo]:
        """The last one first, as in the kernel. ENODEV for a device that is not there."""
        self._check(request.ifindex)
        return [
            netlink.NapiInfo(NAPI_ID_MIN + q.id, self._device.ifindex, "disabled", 0, 0, 0)
            for q in reversed(self._device.rx_queues)
        ]

    def _check(self, ifindex: int | None) -> None:
        if ifindex not in (None, self._device.ifindex):
            raise NetlinkError(
                errno.ENODEV,
                f"no device has ifindex {ifindex}, this host's has {self._device.ifindex}",
                "ifindex",
            )

    # --- page pools

    def page_pool_get(self, request: netlink.PagePoolGet) -> netlink.PagePoolInfo:
        """EINVAL without id, ENOENT for one that is not there."""
        wanted = require(request.id, "id")
        return self._pool_info(self._pool(wanted, "id"))

    def page_pool_dump(self, _: netlink.Empty) -> list[netlink.PagePoolInfo]:
        """Detached ones as well, until what was taken from them is back."""
        return [self._pool_info(pool) for pool in self._pools()]

    def page_pool_stats_get(self, request: netlink.PagePoolStatsGet) -> netlink.PagePoolStats:
        """EINVAL without info or its id, or with an ifindex to select by; ENOENT."""
        info = require(request.info, "info")
        wanted = require(info.id, "info.id")
        if info.ifindex is not None:
            raise NetlinkError(errno.EINVAL, "a page pool is selected by id, not by ifindex", "info.ifindex")
        return self._pool_stats(self._pool(wanted, "info.id"))

    def page_pool_stats_dump(self, _: netlink.Empty) -> list[netlink.PagePoolStats]:
        return [self._pool_stats(pool) for pool in self._pools()]

    def _pools(self) -> Iterator[PagePool]:
        yield from (q.pool for q in self._device.rx_queues)
        yield from (pool for pool in self._device.detached_pools if pool.inflight)

    def _pool(self, wanted: int, attribute: str) -> PagePool:
        for pool in self._pools():
            if pool.id == wanted:
                return pool
        raise NetlinkError(errno.ENOENT, f"there is no page pool {wanted}", attribute)

    def _pool_info(self, pool: PagePool) -> netlink.PagePoolInfo:
        detached = self._device.detached_pools.get(pool)
        napis = [NAPI_ID_MIN + q.id for q in self._device.rx_queues if q.pool is pool]
        return netlink.PagePoolInfo(
            id=pool.id,
            ifindex=self._device.ifindex,
            inflight=pool.inflight,
            inflight_mem=pool.inflight * pool.provider.size,
            napi_id=napis[0] if napis else None,
            detach_time=None if detached is None else int(detached),
            dmabuf=pool.provider.dmabuf_id or None,
        )

    def _pool_stats(self, pool: PagePool) -> netlink.PagePoolStats:
        info = netlink.PagePoolRef(pool.id, self._device.ifindex)
        return netlink.PagePoolStats(info, **msgspec.structs.asdict(pool.stats))

    # --- counters

    def qstats_dump(self, request: netlink.QstatsGet) -> list[netlink.Qstats]:
        """Of each queue with scope "queue", else of the device, queues out of use included. ENODEV."""
        self._check(request.ifindex)
        ifindex = self._device.ifindex
        tx = _tx(self._device.tx)
        if request.scope == "queue":
            rx = [netlink.Qstats(ifindex, "rx", q.id, **_rx(q)) for q in self._device.rx_queues]
            idle = dict.fromkeys(tx, 0)
            ids = range(self._device.tx_queue_count)
            return [*rx, *(netlink.Qstats(ifindex, "tx", i, **(idle if i else tx)) for i in ids)]
        rows = [_rx(q) for q in self._device.all_rx_queues]
        total = {name: sum(row[name] for row in rows) for name in rows[0]}
        overruns = self._device.overruns()
        total["rx_hw_drops"] += overruns + self._device.rx_steering_drops
        total["rx_hw_drop_overruns"] += overruns
        return [netlink.Qstats(ifindex, None, None, **total, **tx)]


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
    """The counters that netdev.yaml knows; its packets and bytes are the wire's, the queues' are frames."""
    return {name: value for name, value in msgspec.structs.asdict(counters).items() if name in _QSTATS}
