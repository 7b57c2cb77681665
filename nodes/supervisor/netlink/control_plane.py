"""A host's control plane as the wire has it: operations of netdev and ethtool, asked through a Host.

In: attributes of a request as nodes/supervisor/netlink/families.py names them. Out: those of its replies;
OSError with the path of the attribute that is wrong. Owns nothing; what is bound belongs to the Host.
What differs from nodes/client is here: ethtool's header flags, bitsets, string sets, and the attributes whose
one value every NIC of the testbed has. Source: net/ethtool/{features,rings,rss,strset}.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nodes.client.host import Host
from nodes.supervisor.netlink import bitset
from nodes.supervisor.netlink.attributes import Values
from nodes.supervisor.netlink.genetlink import Refusal
from nodes.supervisor.netlink.string_sets import FEATURES, HASH_FUNCTIONS, STATS, feature_names, strings

COMPACT_BITSETS, OMIT_REPLY, _STATS = 1, 2, 4
_TOEPLITZ = 1  # the first of the hash functions, as a bit
_BINDS = ("bind-rx", "bind-tx")
# What no NIC of the testbed can change (supported_ring_params, ETHTOOL_RXFH_PARAM_INPUT_XFRM)
_UNCHANGEABLE = {
    "rings-set": ("cqe-size", "tx-push", "rx-push", "tx-push-buf-len"),
    "rss-set": ("input-xfrm",),
    "rss-create-act": ("input-xfrm",),
}


class ControlPlane:
    """`duplicate`: of a descriptor of the program; raises OSError."""

    def __init__(self, host: Host, duplicate: Callable[[int], int]) -> None:
        self._host = host
        self._duplicate = duplicate

    def __call__(self, family: str, operation: str, values: Values, dump: bool) -> list[Values]:
        if family == "ethtool":
            return self._ethtool(operation, values, dump)
        if dump:
            return self._host.netdev.dump(operation, values)
        if operation in _BINDS:
            return [self._bind(operation, values)]
        return [self._host.netdev.do(operation, values)]

    def _bind(self, operation: str, values: Values) -> Values:
        number, theirs = values.get("fd"), -1
        if isinstance(number, int):
            with suppress(OSError):  # a descriptor that is not open is refused where the kernel refuses it
                theirs = self._duplicate(number)
        try:
            return dict(self._host.netdev.do(operation, values, theirs))
        finally:
            if theirs >= 0:
                os.close(theirs)

    # --- ethtool

    def _ethtool(self, operation: str, values: Values, dump: bool) -> list[Values]:
        flags = _take_flags(values)
        for name in _UNCHANGEABLE.get(operation, ()):
            if values.get(name):
                raise Refusal(errno.EOPNOTSUPP, f"the device cannot change {name}", name)
            values.pop(name, None)
        if operation.startswith("rss-"):
            return self._rss(operation, values, dump)
        requests = self._of_each_nic(values) if dump else [values]
        return [reply for each in requests for reply in self._one(operation, each, flags)]

    def _of_each_nic(self, values: Values) -> list[Values]:
        """A dump covers the device that the header names, or all."""
        if values.get("header"):
            return [values]
        return [values | {"header": {"dev-index": nic.ifindex}} for nic in self._host.nics]

    def _do(self, operation: str, values: Values) -> Values:
        """A header that is missing stays so: the client would add one."""
        return self._host.ethtool.do(operation, {"header": None} | values) or {}

    def _one(self, operation: str, values: Values, flags: int) -> list[Values]:
        if operation == "strset-get":
            return [self._string_sets(values)]
        if operation == "features-get":
            return [_features(self._do(operation, values), bool(flags & COMPACT_BITSETS))]
        if operation == "features-set":
            return self._features_set(values, flags)
        reply = self._do(operation, values)
        if operation == "rings-get":
            reply |= {"tx-push": 0, "rx-push": 0}
        return [reply] if reply else []

    def _features_set(self, values: Values, flags: int) -> list[Values]:
        """The reply says which wishes were not granted, and what has changed (ethnl_set_features)."""
        header = {"header": values.get("header")}
        before = self._do("features-get", header)
        names = feature_names(before)
        if isinstance(wanted := values.get("wanted"), dict):
            _check(wanted, "wanted")
            try:
                values["wanted"] = bitset.unpack(wanted, names)
            except bitset.BitsetError as e:
                raise Refusal(e.errno or errno.EINVAL, e.strerror or "", "wanted") from None
        after = self._do("features-set", values)
        if flags & OMIT_REPLY:
            return []
        active, compact = set(after["active"]), bool(flags & COMPACT_BITSETS)
        denied = {name for name, on in values["wanted"].items() if on is not (name in active)}
        granted_not = {name for name in denied if values["wanted"][name]}
        changed = active ^ set(before["active"])
        return [
            {
                "header": after["header"],
                "wanted": bitset.pack(granted_not, names, compact, denied),
                "active": bitset.pack(active & changed, names, compact, changed),
            }
        ]

    def _rss(self, operation: str, values: Values, dump: bool) -> list[Values]:
        if values.pop("hfunc", None) not in (None, 0, _TOEPLITZ):
            raise Refusal(errno.EOPNOTSUPP, "the device has no other hash function than toeplitz", "hfunc")
        if dump:
            return [each | {"hfunc": _TOEPLITZ} for each in self._host.ethtool.dump(operation, values)]
        reply = self._do(operation, values)
        if operation == "rss-create-act":
            reply = self._do("rss-get", {"header": values["header"], "context": reply["context"]})
        return [reply | {"hfunc": _TOEPLITZ}] if reply else []

    def _string_sets(self, values: Values) -> Values:
        """With a header the sets of its device too; without one those that all devices share. Where none is
        named: all that are the device's own, or all that are shared."""
        _check(values)
        header = values.get("header")
        of = {"header": header or {"dev-index": self._host.ifindex}}
        features = self._do("features-get", of)
        sets = []
        every = [{"id": number} for number in ((STATS,) if header else (FEATURES, HASH_FUNCTIONS))]
        for wanted in values.get("stringsets", {}).get("stringset", ()) if "stringsets" in values else every:
            number = wanted.get("id")
            stats = self._do("stats-get", of)["stats"] if header and number == STATS else ()
            found = strings({FEATURES: feature_names(features), STATS: tuple(stats)}, number)
            listed = {"string": [{"index": at, "value": name} for at, name in enumerate(found)]}
            told = {"id": number, "count": len(found)}
            sets.append(told if "counts-only" in values else told | {"strings": listed})
        return ({"header": features["header"]} if header else {}) | {"stringsets": {"stringset": sets}}


def _take_flags(values: Values) -> int:
    """Out of the request's header, which the control plane knows without them."""
    header = values.get("header")
    flags = header.pop("flags", 0) if isinstance(header, dict) else 0
    _check(flags, "header.flags")
    if flags & ~(COMPACT_BITSETS | OMIT_REPLY | _STATS):
        raise Refusal(errno.EOPNOTSUPP, f"unrecognized request flags {flags:#x}", "header.flags")
    return int(flags)


def _check(value: Any, path: str = "") -> None:
    """Of what is not left to the control plane's policy: EINVAL for an attribute that could not be read."""
    if isinstance(value, bytes):
        raise Refusal(errno.EINVAL, f"attribute {path!r} is unknown or has another type", path)
    if isinstance(value, dict):
        for name, each in value.items():
            _check(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            _check(each, f"{path}[{at}]")


def _features(reply: Values, compact: bool) -> Values:
    """`hw` can be changed and speaks of all bits, the others list those that are on."""
    names, hw, active = feature_names(reply), set(reply["hw"]), set(reply["active"])
    return {
        "header": reply["header"],
        "hw": bitset.pack(hw, names, compact, names),
        "wanted": bitset.pack(hw & active, names, compact),
        "active": bitset.pack(active, names, compact),
        "nochange": bitset.pack((), names, compact),
    }
