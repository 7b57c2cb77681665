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
        return dict(self.do("rings-get"))

    def rings_set(self, attributes: Attributes) -> None:
        """rx, tx, tcp-data-split, hds-thresh; absent ones stay."""
        self.do("rings-set", attributes)

    def channels_get(self) -> Attributes:
        return dict(self.do("channels-get"))

    def channels_set(self, attributes: Attributes) -> None:
        """rx-count and tx-count, or combined-count, whichever the NIC has; absent ones stay."""
        self.do("channels-set", attributes)

    def rx_queue_count(self) -> int:
        """How many rx queues are in use: the rx channels and the combined ones."""
        channels = self.channels_get()
        return int(channels.get("rx-count", 0)) + int(channels.get("combined-count", 0))

    def rss_get(self, attributes: Attributes | None = None) -> Attributes:
        """The device's own table and key, or those of {"context": n}."""
        return dict(self.do("rss-get", attributes))

    def rss_set(self, attributes: Attributes) -> None:
        """{"equal": n} spreads over the first n queues, {"indir": [...]} sets the table, {"hkey": hex} the
        key; with {"context": n} that context's."""
        self.do("rss-set", attributes)

    def rss_create(self, attributes: Attributes) -> Attributes:
        """A new context, filled as by rss_set; returns {"context": n}."""
        return dict(self.do("rss-create-act", attributes))

    def rss_delete(self, attributes: Attributes) -> None:
        """{"context": n}"""
        self.do("rss-delete-act", attributes)

    def features_get(self) -> Attributes:
        """{"hw": names that can be changed, "active": names that are on}"""
        return dict(self.do("features-get"))

    def features_set(self, wanted: dict[str, bool]) -> Attributes:
        """Turn features on or off by name; returns the state that results."""
        return dict(self.do("features-set", {"wanted": wanted}))

    def stats_get(self) -> dict[str, int]:
        """What ethtool -S shows."""
        return dict(self.do("stats-get"))

    def ntuple_insert(self, attributes: Attributes) -> Attributes:
        """{"flow-type": "tcp4", "dst-port": p, "queue": q, ...}; returns {"location": n}."""
        return dict(self.do("ntuple-insert", attributes))

    def ntuple_delete(self, attributes: Attributes) -> None:
        """{"location": n}"""
        self.do("ntuple-delete", attributes)

    def ntuple_get(self) -> list[Attributes]:
        """Every rule."""
        return self.dump("ntuple-get")
