"""The ethtool netlink family as applications use it: dictionaries in and out.

    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})

Source: Documentation/netlink/specs/ethtool.yaml; n-tuple rules as `ethtool -N` names their fields.
"""

from __future__ import annotations

from nodes.client.calls import Calls
from nodes.client.netdev import Attributes, Family


class Ethtool(Family):
    """Changes need CAP_NET_ADMIN. Refusals are OSError with errno, text, `attribute`."""

    def __init__(self, calls: Calls) -> None:
        super().__init__(calls, "ethtool")

    def rings_get(self) -> Attributes:
        return dict(self.do("rings-get", {}))

    def rings_set(self, attributes: Attributes) -> None:
        """rx, tcp-data-split, hds-thresh; absent ones stay."""
        self.do("rings-set", attributes)

    def channels_get(self) -> Attributes:
        return dict(self.do("channels-get", {}))

    def rss_get(self) -> Attributes:
        return dict(self.do("rss-get", {}))

    def rss_set(self, attributes: Attributes) -> None:
        """{"equal": n} spreads over the first n queues, {"indir": [...]} sets the table."""
        self.do("rss-set", attributes)

    def ntuple_insert(self, attributes: Attributes) -> Attributes:
        """{"flow-type": "tcp4", "dst-port": p, "queue": q, ...}; returns {"location": n}."""
        return dict(self.do("ntuple-insert", attributes))

    def ntuple_delete(self, attributes: Attributes) -> None:
        """{"location": n}"""
        self.do("ntuple-delete", attributes)

    def ntuple_get(self) -> list[Attributes]:
        return list(self.do("ntuple-get", {}))
