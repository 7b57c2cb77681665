"""The replies of the ethtool family as the program ethtool prints them with --json.

In: replies of nodes.client.ethtool. Out: objects with ethtool's keys. Owns nothing. Options that are not here
have no --json in ethtool either. Source: netlink/{rings,channels,features,rss}.c of ethtool 6.15.
"""

from __future__ import annotations

from nodes.client.ethtool_show import FEATURES, SPLIT, SUBTITLED
from nodes.client.netdev import Attributes


def channels(reply: Attributes) -> Attributes:
    """-l; a kind of channel that the device does not have is left out."""
    names = ("rx", "tx", "other", "combined")
    return _present(reply, {f"{name}-max": f"{name}-max" for name in names}) | _present(
        reply, {name: f"{name}-count" for name in names}
    )


def rings(reply: Attributes) -> Attributes:
    """-g"""
    numbers = ("rx-max", "tx-max", "hds-thresh-max", "rx", "tx", "rx-buf-len", "hds-thresh")
    split = {"tcp-data-split": SPLIT[reply["tcp-data-split"]]}
    return _present(reply, dict(zip(numbers, numbers, strict=True))) | split | _PUSH


_PUSH = {"tx-push": False, "rx-push": False}


def features(reply: Attributes) -> Attributes:
    """-k; of a title that stands for several features only the sum is known."""
    found: Attributes = {}
    for title, _, names in FEATURES:
        if title in SUBTITLED:
            active = any(name in reply["active"] for name in names)
            found[title] = {"active": active, "fixed": None, "requested": None}
            found |= {name: _feature(reply, name) for name in names}
        else:
            found[title] = _feature(reply, *names)
    return found


def rss(reply: Attributes) -> Attributes:
    """-x"""
    return {
        "rss-indirection-table": reply["indir"],
        "rss-hash-key": [*bytes.fromhex(reply["hkey"])],
        "rss-hash-function": "toeplitz",
    }


def _feature(reply: Attributes, name: str) -> Attributes:
    on = name in reply["active"]
    return {"active": on, "fixed": name not in reply["hw"], "requested": on}


def _present(reply: Attributes, keys: dict[str, str]) -> Attributes:
    return {ours: reply[theirs] for ours, theirs in keys.items() if theirs in reply}
