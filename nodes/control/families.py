"""Which method answers which netlink operation.

In: a host's devices, its ethtool family, its routes. Out: tables by family, operation and mode. bind-rx and
bind-tx are in none: they need the caller's descriptor, and a binding ends with the caller's channel. Owns
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev_get import NetdevGet
from nodes.control.route import RtRoute
from nodes.inet.route import RouteTable
from nodes.uapi.netlink import Mode

Answer = Callable[[Any], Any]


def answers(devices: Devices, ethtool: Ethtool) -> dict[tuple[str, str, Mode], Answer]:
    """Each answer takes a record of the type in uapi.netlink.OPERATIONS and returns a record for a do, a list
    of records for a dump, None for an operation without a reply. Raises NetlinkError."""
    netdev = NetdevGet(devices)
    return {
        ("netdev", "dev-get", "do"): netdev.dev_get,
        ("netdev", "dev-get", "dump"): netdev.dev_dump,
        ("netdev", "queue-get", "do"): netdev.queue_get,
        ("netdev", "queue-get", "dump"): netdev.queue_dump,
        ("netdev", "napi-get", "do"): netdev.napi_get,
        ("netdev", "napi-get", "dump"): netdev.napi_dump,
        ("netdev", "page-pool-get", "do"): netdev.page_pool_get,
        ("netdev", "page-pool-get", "dump"): netdev.page_pool_dump,
        ("netdev", "page-pool-stats-get", "do"): netdev.page_pool_stats_get,
        ("netdev", "page-pool-stats-get", "dump"): netdev.page_pool_stats_dump,
        ("netdev", "qstats-get", "dump"): netdev.qstats_dump,
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


def route_answers(routes: RouteTable) -> dict[tuple[str, str, Mode], Answer]:
    """Likewise, of the types in uapi.rtnetlink.OPERATIONS."""
    route = RtRoute(routes)
    return {
        ("rt-route", "newroute", "do"): route.newroute,
        ("rt-route", "delroute", "do"): route.delroute,
        ("rt-route", "getroute", "do"): route.getroute,
        ("rt-route", "getroute", "dump"): route.dump,
    }
