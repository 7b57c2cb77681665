"""Ring sizes and header split of one device: ethtool -g and -G.

In: a NetDevice, records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing.
Owns nothing: the settings are the device's. That header split stays on while a dma-buf is bound holds for
every kernel version: before 6.14 the core did not ask, and what a driver did then is defined nowhere.
Source: net/ethtool/rings.c.
"""

from __future__ import annotations

import errno

from nodes.control.channels import min_mp_channel_count
from nodes.control.devices import header_of
from nodes.control.netlink_error import NetlinkError
from nodes.nic.net_device import NetDevice
from nodes.nic.rings import TcpDataSplit
from nodes.uapi import netlink

TX_RING_MAX = 4096
_SPLITS = tuple(TcpDataSplit)


def rings_get(device: NetDevice) -> netlink.RingsInfo:
    r, tx = device.rings, device.tx
    thresh = (r.hds_thresh, r.hds_thresh_max) if device.config.kernel.hds_thresh else ()
    return netlink.RingsInfo(
        header_of(device), r.rx_max, TX_RING_MAX, r.rx, tx.ring_size, r.rx_buf_len, r.tcp_data_split.value,
        *thresh,
    )  # fmt: skip


def rings_set(device: NetDevice, request: netlink.Rings) -> None:
    """EINVAL for what a bound dma-buf forbids (table B2, B3) and for sizes beyond the maximum, EOPNOTSUPP for
    what the device cannot change."""
    rings, tx = device.rings, device.tx
    if request.rx_buf_len not in (None, rings.rx_buf_len):
        raise NetlinkError(errno.EOPNOTSUPP, "the device cannot change rx-buf-len", "rx-buf-len")
    if request.hds_thresh is not None and not device.config.kernel.hds_thresh:
        raise NetlinkError(errno.EINVAL, "this kernel has no attribute 'hds-thresh'", "hds-thresh")
    split = rings.tcp_data_split if request.tcp_data_split is None else _split(request.tcp_data_split)
    thresh = rings.hds_thresh if request.hds_thresh is None else request.hds_thresh
    if (split, thresh) != (rings.tcp_data_split, rings.hds_thresh):
        _check_split(device, split, thresh)
    _check_size(request.rx, rings.rx_max, "rx")
    _check_size(request.tx, TX_RING_MAX, "tx")
    rings.tcp_data_split, rings.hds_thresh = split, thresh
    if request.tx is not None:
        tx.ring_size = request.tx
    if request.rx is not None:
        rings.rx = request.rx
        for rxq in device.all_rx_queues:
            rxq.ring_size = request.rx


def _check_split(device: NetDevice, split: TcpDataSplit, hds_thresh: int) -> None:
    if min_mp_channel_count(device):
        if split is not TcpDataSplit.ENABLED:
            text = "tcp-data-split stays enabled while a dma-buf is bound"
            raise NetlinkError(errno.EINVAL, text, "tcp-data-split")
        if hds_thresh:
            raise NetlinkError(errno.EINVAL, "hds-thresh stays 0 while a dma-buf is bound", "hds-thresh")
    maximum = device.rings.hds_thresh_max
    if hds_thresh > maximum:
        raise NetlinkError(errno.EINVAL, f"hds-thresh {hds_thresh}: choose 0 to {maximum}", "hds-thresh")


def _check_size(size: int | None, maximum: int, name: str) -> None:
    if size is not None and not 1 <= size <= maximum:
        raise NetlinkError(errno.EINVAL, f"{name} ring of {size}: choose 1 to {maximum}", name)


def _split(value: str | int) -> TcpDataSplit:
    return _SPLITS[value] if isinstance(value, int) else TcpDataSplit(value)
