"""The ethtool netlink family as applications use it: dictionaries in and out.

    host.ethtool.rings_set({"tcp-data-split": "enabled", "hds-thresh": 0})

A request without a header gets that of the host's NIC; another NIC is named by {"header": {"dev-name":
"eth1"}} or by `of`. Replies have a header as well. Source: Documentation/netlink/specs/ethtool.yaml; the
fields of n-tuple rules have the names that `ethtool -N` gives them.
"""

from __future__ import annotations

from typing import Any

from nodes.client.calls import Calls
from nodes.client.netdev import Attributes, Family


class Ethtool(Family):
    """Operations that change something need CAP_NET_ADMIN. A refusal is an OSError with errno, text and
    `attribute`."""

    def __init__(self, calls: Calls, ifindex: int) -> None:
        super().__init__(calls, "ethtool")
        self._ifindex = ifindex

    def of(self, ifindex: int) -> Ethtool:
        """The same family for the NIC with `ifindex`, another one of this host."""
        return Ethtool(self._calls, ifindex)

    def do(self, operation: str, attributes: Attributes | None = None) -> Any:
        """One operation on this NIC, or on the one that attributes["header"] names."""
        return super().do(operation, self._with_header(attributes))

    def dump(self, operation: str, attributes: Attributes | None = None) -> list[Attributes]:
        """The records of this NIC, of the one that attributes["header"] names, or with {"header": {}} of
        every NIC."""
        return super().dump(operation, self._with_header(attributes))

    def _with_header(self, attributes: Attributes | None) -> Attributes:
        return {"header": {"dev-index": self._ifindex}} | (attributes or {})

    def names(self) -> dict[str, int]:
        """Every NIC of the host: its ifindex by its name, in ifindex order."""
        headers = [reply["header"] for reply in self.dump("rss-get", {"header": {}})]
        return {header["dev-name"]: header["dev-index"] for header in headers}

    def rings_get(self) -> Attributes:
        return dict(self.do("rings-get"))

    def rings_set(self, attributes: Attributes) -> None:
        """rx, tx, tcp-data-split, hds-thresh; an absent one stays as it is."""
        self.do("rings-set", attributes)

    def channels_get(self) -> Attributes:
        return dict(self.do("channels-get"))

    def channels_set(self, attributes: Attributes) -> None:
        """rx-count and tx-count, or combined-count, whichever the NIC has; an absent one stays as it is."""
        self.do("channels-set", attributes)

    def rx_queue_count(self) -> int:
        """How many rx queues are in use: the rx channels and the combined ones."""
        channels = self.channels_get()
        return int(channels.get("rx-count", 0)) + int(channels.get("combined-count", 0))

    def rss_get(self, attributes: Attributes | None = None) -> Attributes:
        """Table and key of the NIC itself, or with {"context": n} those of RSS context n."""
        return dict(self.do("rss-get", attributes))

    def rss_restoring(self) -> Attributes:
        """What makes rss_set restore the table that the NIC has now. The default table stays the default: it
        follows the number of queues, and does not keep `ethtool -L` from reducing it."""
        table, queues = self.rss_get()["indir"], self.rx_queue_count()
        is_default = table == [at % queues for at in range(len(table))]  # ethtool_rxfh_indir_default
        return {"indir": [] if is_default else table}

    def rss_set(self, attributes: Attributes) -> None:
        """{"equal": n} spreads over the first n queues, {"indir": [...]} sets the table, {"hkey": hex} sets
        the key; with {"context": n} those of RSS context n."""
        self.do("rss-set", attributes)

    def rss_create(self, attributes: Attributes) -> Attributes:
        """A new RSS context, with table and key as for rss_set; its id is the reply's "context"."""
        return dict(self.do("rss-create-act", attributes))

    def rss_delete(self, attributes: Attributes) -> None:
        """{"context": n}"""
        self.do("rss-delete-act", attributes)

    def features_get(self) -> Attributes:
        """{"hw": names of features that can be changed, "active": names of features that are on}"""
        return dict(self.do("features-get"))

    def features_set(self, wanted: dict[str, bool]) -> Attributes:
        """Turn features on or off by name; returns the features that result, as features_get."""
        return dict(self.do("features-set", {"wanted": wanted}))

    def stats_get(self) -> dict[str, int]:
        """The counters that ethtool -S shows."""
        return dict(self.do("stats-get")["stats"])

    def ntuple_insert(self, attributes: Attributes) -> Attributes:
        """{"flow-type": "tcp4", "dst-port": p, "queue": q, ...}; the rule's place is the reply's "location".
        The reply can be given to ntuple_delete as it is."""
        return dict(self.do("ntuple-insert", attributes))

    def ntuple_delete(self, attributes: Attributes) -> None:
        """{"location": n}"""
        self.do("ntuple-delete", attributes)

    def ntuple_get(self) -> list[Attributes]:
        """Every rule of the NIC, by location."""
        return self.dump("ntuple-get")
