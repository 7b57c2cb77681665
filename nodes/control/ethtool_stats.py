"""The counters of one device by ethtool's names: ethtool -S.

In: a NetDevice. Out: a record of nodes.uapi.netlink. Owns nothing. Source: ETHTOOL_GSTATS in
net/ethtool/ioctl.c; page_pool_ethtool_stats_get in net/core/page_pool.c.
"""

from __future__ import annotations

import msgspec

from nodes.control.devices import header_of
from nodes.machine.ledger import totals
from nodes.nic.net_device import NetDevice
from nodes.uapi import netlink

_PP_NAMES = {  # where ethtool's name is not "rx_pp_" and the counter's
    "alloc_slow_high_order": "rx_pp_alloc_slow_ho",
    "recycle_released_refcnt": "rx_pp_recycle_released_ref",
}

# Unit and meaning of what no record of a queue has, as the records' annotations tell theirs.
OF_DEVICE = {
    "rx_fifo_overruns": ("packets", "frames lost since the FIFO in front of the rx queues was full"),
    "rx_steering_drops": ("packets", "frames that an n-tuple rule discarded (`action -1`)"),
    "tx_unreadable_drops": ("packets", "packets in device memory that this device may not send: dropped"),
    "pcie_switch_bytes": ("B", "what the NIC's DMA moved through its PCIe switch"),
    "pcie_root_bytes": ("B", "that part of it that crossed the root port, to or from host memory"),
}


def stats_get(device: NetDevice) -> netlink.Stats:
    """The sums of the device, what its DMA moved through PCIe switches and across the root port, the sums of
    its page pools (rx_pp_*), then the counters of each queue."""
    rows = [msgspec.structs.asdict(q.counters) for q in device.all_rx_queues]
    stats = {name: sum(row[name] for row in rows) for name in rows[0]}
    stats["rx_fifo_overruns"] = device.overruns()
    stats["rx_steering_drops"] = device.rx_steering_drops
    tx = msgspec.structs.asdict(device.tx.counters)
    stats |= tx
    stats["tx_unreadable_drops"] = device.tx_unreadable_drops
    hsplit = [msgspec.structs.asdict(q.hsplit) for q in device.all_rx_queues]
    stats |= {name: sum(row[name] for row in hsplit) for name in hsplit[0]}
    moved = totals(device.dma.ledger.snapshot())
    stats |= {"pcie_switch_bytes": moved.pcie_switch_bytes, "pcie_root_bytes": moved.pcie_root_bytes}
    pools = [msgspec.structs.asdict(q.pool.stats) for q in device.rx_queues]
    stats |= {pool_name(n): sum(each[n] for each in pools) for n in pools[0]}
    for rxq in device.rx_queues:
        stats |= {f"rx_queue_{rxq.id}_{n[3:]}": v for n, v in rows[rxq.id].items()}
    stats |= {f"tx_queue_0_{name[3:]}": value for name, value in tx.items()}
    return netlink.Stats(header_of(device), stats)


def pool_name(counter: str) -> str:
    """ethtool's name of a counter of page pools."""
    return _PP_NAMES.get(counter, f"rx_pp_{counter}")
