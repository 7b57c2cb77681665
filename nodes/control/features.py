"""The offload features of one device: ethtool -k and -K.

In: a NetDevice, records of nodes.uapi.netlink. Out: records, NetlinkError; a refused request changes nothing.
Owns nothing: the features are the device's. Source: net/ethtool/features.c, netdev_fix_features in
net/core/dev.c.
"""

from __future__ import annotations

import errno

from nodes.control import ntuple
from nodes.control.devices import header_of
from nodes.control.netlink_error import NetlinkError
from nodes.control.policy import require
from nodes.nic.net_device import NetDevice
from nodes.uapi import netlink

_SG, _TSO = "tx-scatter-gather", "tx-tcp-segmentation"
_CHANGEABLE = (_SG, _TSO, ntuple.FEATURE)
_ALWAYS_ON = ("rx-checksum", "tx-checksum-ip-generic", "rx-hashing", "rx-gro-hw")


def features_get(device: NetDevice) -> netlink.Features:
    states = (device.sg, device.tso and device.sg, device.steering.enabled)
    on = (name for name, state in zip(_CHANGEABLE, states, strict=True) if state)
    return netlink.Features(header_of(device), _CHANGEABLE, (*_ALWAYS_ON, *on))


def features_set(device: NetDevice, request: netlink.FeaturesSet) -> netlink.Features:
    """Returns the features that result: a feature that cannot be changed stays as it is. EINVAL for an
    unknown name.

    Without segmentation, connections made from now on send one wire packet at a time. Without scatter-gather
    there is no segmentation either (netdev_fix_features), and nothing can be sent from a dma-buf. Turning
    n-tuple filters off deletes the rules."""
    wanted = require(request.wanted, "wanted")
    unknown = [name for name in wanted if name not in (*_CHANGEABLE, *_ALWAYS_ON)]
    if unknown:
        raise NetlinkError(errno.EINVAL, f"there is no feature {unknown[0]!r}", "wanted")
    device.sg = wanted.get(_SG, device.sg)
    device.tso = wanted.get(_TSO, device.tso)
    steering = device.steering
    steering.enabled = wanted.get(ntuple.FEATURE, steering.enabled)
    if not steering.enabled:
        steering.rules.clear()
        device.steering_changed()
    return features_get(device)
