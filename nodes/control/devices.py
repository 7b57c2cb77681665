"""The network devices of one host: how a netlink request names a device, and which devices a dump covers.

In: the host's NetDevices; the ifindex of a netdev request, the header of an ethtool request. Out: NetDevices
in ifindex order, or NetlinkError. Owns the host's NAPI ids: every device gets a range of its own. Source:
for_each_netdev_dump and napi_hash_add in net/core/dev.c, ethnl_parse_header_dev_get in net/ethtool/netlink.c.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from nodes.control.netlink_error import NetlinkError
from nodes.kernel_version import KernelVersion
from nodes.nic.net_device import NAPI_ID_MIN, NetDevice
from nodes.uapi.netlink import Header

LOOPBACK_IFINDEX, LOOPBACK_NAME = 1, "lo"  # of every network namespace (include/net/net_namespace.h)


class Devices(Mapping[int, NetDevice]):
    """Every device of a host by its ifindex; iterates in ifindex order."""

    def __init__(self, *devices: NetDevice) -> None:
        """One device at least. Raises ValueError when two have the same ifindex or name. Sets each device's
        `first_napi_id`, so that no two queues of the host have the same NAPI id."""
        self._devices = {device.ifindex: device for device in sorted(devices, key=lambda each: each.ifindex)}
        names = {device.name for device in devices}
        if not devices or min(len(self._devices), len(names)) < len(devices):
            given = ", ".join(f"{device.name} (ifindex {device.ifindex})" for device in devices)
            raise ValueError(
                f"devices {given or 'none'}: give one or more, each with its own ifindex and name"
            )
        napi_id = NAPI_ID_MIN
        for device in self._devices.values():
            device.first_napi_id = napi_id
            napi_id += device.config.rx_queues

    def __getitem__(self, ifindex: int) -> NetDevice:
        return self._devices[ifindex]

    def __iter__(self) -> Iterator[int]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    @property
    def kernel(self) -> KernelVersion:
        """The host's kernel, which is the same for all its devices."""
        return next(iter(self._devices.values())).config.kernel

    # --- the netdev family: by ifindex

    def find(self, ifindex: int) -> NetDevice:
        """Raises NetlinkError ENODEV when no device has `ifindex`, EOPNOTSUPP for the loopback device, whose
        driver has none of what is asked of NICs."""
        device = self._devices.get(ifindex)
        if device is None:
            if ifindex == LOOPBACK_IFINDEX:
                raise NetlinkError(errno.EOPNOTSUPP, f"{LOOPBACK_NAME} does not support this", "ifindex")
            have = "has" if len(self) == 1 else "have"
            theirs = ", ".join(map(str, self))
            text = f"no device has ifindex {ifindex}, this host's {have} {theirs}"
            raise NetlinkError(errno.ENODEV, text, "ifindex")
        return device

    def dumped(self, ifindex: int | None) -> list[NetDevice]:
        """The devices that a dump covers: the one with `ifindex`, or all of them without one. ENODEV."""
        return [*self.values()] if ifindex is None else [self.find(ifindex)]

    # --- the ethtool family: by the request's header

    def find_by_header(self, header: Header | None) -> NetDevice:
        """The device that a do request is about. EINVAL when the header is missing or names no device, ENODEV
        when the host has no such device.
        The kernel's default handlers report a missing header by its attribute alone, without a text."""
        if header is None:
            raise NetlinkError(errno.EINVAL, "request header missing", "header")
        device = self._named(header)
        if device is None:
            raise NetlinkError(errno.EINVAL, "neither ifindex nor name specified", "header")
        return device

    def dumped_by_header(self, header: Header | None) -> list[NetDevice]:
        """The devices that a dump covers: the one that the header names, or all of them when it names none
        (ethnl_rss_dump_start). ENODEV."""
        device = self._named(header) if header is not None else None
        return [*self.values()] if device is None else [device]

    def _named(self, header: Header) -> NetDevice | None:
        """None when the header has neither index nor name. Texts and errnos are the kernel's."""
        if header.dev_index == LOOPBACK_IFINDEX not in self._devices or header.dev_name == LOOPBACK_NAME:
            raise NetlinkError(errno.EOPNOTSUPP, f"{LOOPBACK_NAME} does not support this")
        if header.dev_index is not None:
            device = self._devices.get(header.dev_index)
            if device is None:
                raise NetlinkError(errno.ENODEV, "no device matches ifindex", "header.dev-index")
            if header.dev_name not in (None, device.name):
                raise NetlinkError(errno.ENODEV, "ifindex and name do not match", "header")
            return device
        if header.dev_name is None:
            return None
        for device in self._devices.values():
            if device.name == header.dev_name:
                return device
        raise NetlinkError(errno.ENODEV, "no device matches name", "header.dev-name")


def header_of(device: NetDevice) -> Header:
    """The header of a reply about `device` (ethnl_fill_reply_header)."""
    return Header(device.ifindex, device.name)
