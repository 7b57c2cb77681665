"""The ethtool family: rings, header split, channels, RSS, n-tuple rules.

In: records of nodes.netlink. Out: records, NetlinkError. Owns nothing: the settings are the device's.
Source: net/ethtool/{rings,channels,rss,ioctl}.c.
"""

from __future__ import annotations

import errno

from nodes import netlink
from nodes.control.netlink_error import NetlinkError
from nodes.nic.flow_steering import NtupleRule
from nodes.nic.net_device import NetDevice, TcpDataSplit
from nodes.wire import ipv4


class Ethtool:
    def __init__(self, device: NetDevice) -> None:
        self._device = device

    def rings_get(self, _: netlink.Empty) -> netlink.Rings:
        r = self._device.rings
        return netlink.Rings(r.rx, r.rx_max, r.rx_buf_len, r.tcp_data_split.value, r.hds_thresh)

    def rings_set(self, request: netlink.Rings) -> None:
        """-G. EINVAL for what a bound dma-buf forbids (table B2, B3) or the device cannot do."""
        rings = self._device.rings
        provider = any(q.pool.provider.dmabuf_id for q in self._device.rx_queues)
        split = request.tcp_data_split
        if request.rx is not None and not 1 <= request.rx <= rings.rx_max:
            raise NetlinkError(errno.EINVAL, f"rx ring of {request.rx}: choose 1 to {rings.rx_max}", "rx")
        if request.rx_max is not None or request.rx_buf_len not in (None, rings.rx_buf_len):
            raise NetlinkError(errno.EOPNOTSUPP, "the device cannot change rx-max and rx-buf-len")
        if split is not None and split != "enabled" and provider:
            raise NetlinkError(
                errno.EINVAL, "tcp-data-split stays enabled while a dma-buf is bound", "tcp-data-split"
            )
        if request.hds_thresh:
            why = "hds-thresh stays 0 while a dma-buf is bound" if provider else "the device splits at 0 only"
            raise NetlinkError(errno.EINVAL, why, "hds-thresh")
        if split is not None:
            rings.tcp_data_split = TcpDataSplit(split)
        if request.rx is not None:
            rings.rx = request.rx
            for rxq in self._device.rx_queues:
                rxq.ring_size = request.rx

    def channels_get(self, _: netlink.Empty) -> netlink.Channels:
        return netlink.Channels(len(self._device.rx_queues))

    def rss_get(self, _: netlink.Empty) -> netlink.Rss:
        rss = self._device.rss
        return netlink.Rss(tuple(rss.table), None, rss.key.hex())

    def rss_set(self, request: netlink.Rss) -> None:
        """-X. EINVAL, and nothing set, for an absent queue or a table or key of another size."""
        rss, queues = self._device.rss, len(self._device.rx_queues)
        indir = request.indir
        if indir is not None and (len(indir) != len(rss.table) or max(indir) >= queues):
            raise NetlinkError(errno.EINVAL, f"give {len(rss.table)} entries of 0 to {queues - 1}", "indir")
        if request.equal is not None and not 1 <= request.equal <= queues:
            raise NetlinkError(errno.EINVAL, f"equal {request.equal}: choose 1 to {queues}", "equal")
        if request.hkey is not None:
            rss.key = _hash_key(request.hkey, len(rss.key))
        if indir is not None:
            rss.table = list(indir)
        if request.equal is not None:
            rss.set_equal(request.equal)
        self._device.steering_changed()

    def ntuple_insert(self, request: netlink.Ntuple) -> netlink.Location:
        """-N. EINVAL without a queue, for one that does not exist, or an address that is none."""
        queues = len(self._device.rx_queues)
        if request.queue is None or request.queue >= queues:
            raise NetlinkError(errno.EINVAL, f"queue {request.queue}: choose 0 to {queues - 1}", "queue")
        rule = NtupleRule(
            request.queue,
            _address(request.src_ip, "src-ip"),
            _address(request.dst_ip, "dst-ip"),
            request.src_port,
            request.dst_port,
        )
        location = self._device.steering.insert(rule, request.location)
        self._device.steering_changed()
        return netlink.Location(location)

    def ntuple_delete(self, request: netlink.Location) -> None:
        """-N delete. ENOENT when there is no such rule."""
        if self._device.steering.rules.pop(request.location, None) is None:
            raise NetlinkError(errno.ENOENT, f"no rule at location {request.location}", "location")
        self._device.steering_changed()

    def ntuple_get(self, _: netlink.Empty) -> list[netlink.Ntuple]:
        return [
            netlink.Ntuple(
                "tcp4",
                None if rule.src_ip is None else ipv4.address_text(rule.src_ip),
                None if rule.dst_ip is None else ipv4.address_text(rule.dst_ip),
                rule.src_port,
                rule.dst_port,
                rule.queue,
                location,
            )
            for location, rule in sorted(self._device.steering.rules.items())
        ]


def _hash_key(text: str, size: int) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != size:
        raise NetlinkError(errno.EINVAL, f"hash key {text!r}: give {size} bytes in hexadecimal", "hkey")
    return key


def _address(text: str | None, attribute: str) -> int | None:
    if text is None:
        return None
    try:
        return ipv4.address_int(text)
    except ValueError:
        raise NetlinkError(errno.EINVAL, f"{text!r} is not an IPv4 address", attribute) from None
