"""Which function answers which netlink operation.

In: the device's netdev and ethtool. Out: a table by family, operation and mode; bind-rx and bind-tx are not
in it, for they need the caller's descriptor and end with its channel. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.control.ethtool import Ethtool
from nodes.control.netdev_get import NetdevGet
from nodes.nic.net_device import NetDevice
from nodes.uapi.netlink import Mode

Answer = Callable[[Any], Any]


def answers(device: NetDevice, ethtool: Ethtool) -> dict[tuple[str, str, Mode], Answer]:
    """Each takes the record that uapi.netlink.OPERATIONS says and returns one, a list of them, or None."""
    look = NetdevGet(device)
    return {
        ("netdev", "dev-get", "do"): look.dev_get,
        ("netdev", "dev-get", "dump"): look.dev_dump,
        ("netdev", "queue-get", "do"): look.queue_get,
        ("netdev", "queue-get", "dump"): look.queue_dump,
        ("netdev", "napi-get", "do"): look.napi_get,
        ("netdev", "napi-get", "dump"): look.napi_dump,
        ("netdev", "page-pool-get", "do"): look.page_pool_get,
        ("netdev", "page-pool-get", "dump"): look.page_pool_dump,
        ("netdev", "page-pool-stats-get", "do"): look.page_pool_stats_get,
        ("netdev", "page-pool-stats-get", "dump"): look.page_pool_stats_dump,
        ("netdev", "qstats-get", "dump"): look.qstats_dump,
        ("ethtool", "rings-get", "do"): ethtool.rings_get,
        ("ethtool", "rings-set", "do"): ethtool.rings_set,
        ("ethtool", "channels-get", "do"): ethtool.channels_get,
        ("ethtool", "channels-set", "do"): ethtool.channels_set,
        ("ethtool", "rss-get", "do"): ethtool.rss_get,
        ("ethtool", "rss-get", "dump"): ethtool.rss_dump,
        ("ethtool", "rss-set", "do"): ethtool.rss_set,
        ("ethtool", "rss-create-act", "do"): ethtool.rss_create,
        ("ethtool", "rss-delete-act", "do"): ethtool.rss_delete,
        ("ethtool", "features-get", "do"): ethtool.features_get,
        ("ethtool", "features-set", "do"): ethtool.features_set,
        ("ethtool", "stats-get", "do"): ethtool.stats_get,
        ("ethtool", "ntuple-insert", "do"): ethtool.ntuple_insert,
        ("ethtool", "ntuple-delete", "do"): ethtool.ntuple_delete,
        ("ethtool", "ntuple-get", "do"): ethtool.ntuple_get,
        ("ethtool", "ntuple-get", "dump"): ethtool.ntuple_dump,
    }
