"""How many queues one device uses: ethtool -l and -L.

In: a NetDevice, records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing.
Owns nothing: the queues are the device's. Source: net/ethtool/{channels,common}.c.
"""

from __future__ import annotations

import errno

from nodes.control.devices import header_of
from nodes.control.netlink_error import NetlinkError
from nodes.nic.net_device import NetDevice
from nodes.uapi import netlink

_KINDS = ("rx", "tx", "other", "combined")


def channels_get(device: NetDevice) -> netlink.ChannelsInfo:
    header, maximum, count = header_of(device), device.config.rx_queues, len(device.rx_queues)
    if device.config.nic.combined:
        return netlink.ChannelsInfo(header, combined_max=maximum, combined_count=count)
    return netlink.ChannelsInfo(header, rx_max=maximum, tx_max=1, rx_count=count, tx_count=1)


def channels_set(device: NetDevice, request: netlink.Channels) -> None:
    """EINVAL for counts beyond the maximum, for none of a kind that is needed, and for fewer than the RSS
    tables, the rules or the bound queues need: exactly one above the highest bound queue is too few (table
    B1, B8)."""
    now = channels_get(device)
    limits = (now.rx_max or 0, now.tx_max or 0, 0, now.combined_max or 0)
    before = (now.rx_count or 0, now.tx_count or 0, 0, now.combined_count or 0)
    wanted = (request.rx_count, request.tx_count, request.other_count, request.combined_count)
    asked = tuple(b if w is None else w for b, w in zip(before, wanted, strict=True))
    if asked == before:
        return
    for name, count, limit in zip(_KINDS, asked, limits, strict=True):
        if count > limit:
            text = f"{count} {name} channels: the device has {limit}"
            raise NetlinkError(errno.EINVAL, text, f"{name}-count")
    rx, tx, _, combined = asked
    if not combined and not (rx and tx):
        changed = "combined" if limits[3] else "tx" if rx else "rx"
        text = "no rx or no tx channel would be left: keep one of each"
        raise NetlinkError(errno.EINVAL, text, f"{changed}-count")
    for need, what in _needs(device):
        if rx + combined <= need:
            text = f"{rx + combined} channels are too few for the {what} ({need})"
            raise NetlinkError(errno.EINVAL, text)
    device.use_rx_queues(rx + combined)


def _needs(device: NetDevice) -> list[tuple[int, str]]:
    """What the new count must exceed, and why, in the kernel's order (ethtool_check_max_channel)."""
    tables = [*device.rss_contexts.values(), *([device.rss] if device.rss.configured else [])]
    rules = [rule.queue for rule in device.steering.rules.values() if not rule.context]
    needs = [
        (max((max(rss.table) for rss in tables), default=-1), "indirection table"),
        (max(rules, default=-1), "n-tuple filters"),
    ]
    if device.config.kernel.guards_bound_queues:
        needs.append((min_mp_channel_count(device) or -1, "bound memory provider"))
    return needs


def min_mp_channel_count(device: NetDevice) -> int:
    """One above the highest rx queue with a memory provider, 0 without any (dev_get_min_mp_channel_count)."""
    return max((rxq.id + 1 for rxq in device.rx_queues if rxq.pool.provider.dmabuf_id), default=0)
