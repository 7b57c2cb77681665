"""The ethtool family: finds the device that a request's header names, and has the request answered for it.

In: records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing. Owns
nothing. What each operation does and refuses is in rings, channels, rss, ntuple, features and ethtool_stats;
before that every operation refuses a bad header (Devices.find_by_header). Source: net/ethtool/netlink.c.
"""

from __future__ import annotations

from nodes.control import channels, ethtool_stats, features, ntuple, rings, rss
from nodes.control.devices import Devices
from nodes.nic.net_device import NetDevice
from nodes.uapi import netlink


class Ethtool:
    """One method an operation, of one host's devices. A dump covers the device of its header, or all
    devices."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def _device(self, request: netlink.HeaderOnly) -> NetDevice:
        return self._devices.find_by_header(request.header)

    def rings_get(self, request: netlink.HeaderOnly) -> netlink.RingsInfo:
        return rings.rings_get(self._device(request))

    def rings_set(self, request: netlink.Rings) -> None:
        rings.rings_set(self._device(request), request)

    def channels_get(self, request: netlink.HeaderOnly) -> netlink.ChannelsInfo:
        return channels.channels_get(self._device(request))

    def channels_set(self, request: netlink.Channels) -> None:
        channels.channels_set(self._device(request), request)

    def rss_get(self, request: netlink.RssContext) -> netlink.Rss:
        return rss.rss_get(self._device(request), request)

    def rss_dump(self, request: netlink.RssDump) -> list[netlink.Rss]:
        devices = self._devices.dumped_by_header(request.header)
        return [record for device in devices for record in rss.rss_dump(device, request.start_context or 0)]

    def rss_set(self, request: netlink.Rss) -> None:
        rss.rss_set(self._device(request), request)

    def rss_create(self, request: netlink.Rss) -> netlink.RssContext:
        return rss.rss_create(self._device(request), request)

    def rss_delete(self, request: netlink.RssContext) -> None:
        rss.rss_delete(self._device(request), request)

    def ntuple_insert(self, request: netlink.Ntuple) -> netlink.Location:
        return ntuple.ntuple_insert(self._device(request), request)

    def ntuple_delete(self, request: netlink.Location) -> None:
        ntuple.ntuple_delete(self._device(request), request)

    def ntuple_get(self, request: netlink.Location) -> netlink.Ntuple:
        return ntuple.ntuple_get(self._device(request), request)

    def ntuple_dump(self, request: netlink.HeaderOnly) -> list[netlink.Ntuple]:
        devices = self._devices.dumped_by_header(request.header)
        return [record for device in devices for record in ntuple.ntuple_dump(device)]

    def features_get(self, request: netlink.HeaderOnly) -> netlink.Features:
        return features.features_get(self._device(request))

    def features_set(self, request: netlink.FeaturesSet) -> netlink.Features:
        return features.features_set(self._device(request), request)

    def stats_get(self, request: netlink.HeaderOnly) -> netlink.Stats:
        return ethtool_stats.stats_get(self._device(request))
