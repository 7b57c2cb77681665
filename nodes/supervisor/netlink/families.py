"""The generic netlink families of a host as numbers: nlctrl, netdev and ethtool.

In: nothing. Out: for each family its commands, attributes and multicast groups: what nodes/uapi/netlink.py
models, and what requests and replies of ethtool have besides. Owns nothing. Numbers are those of Linux; ids
of families and groups, which a kernel gives out when they are registered, are this testbed's.
Source: Documentation/netlink/specs/{netdev,ethtool,nlctrl}.yaml and the headers generated from them.
"""

from __future__ import annotations

from typing import NamedTuple

from nodes.supervisor.netlink.attributes import (
    FLAG,
    HEX,
    STRING,
    U8,
    U16,
    U32,
    U64,
    UINT,
    WORDS,
    Array,
    Attribute,
    Attributes,
    Enum,
    Flags,
    Kind,
    Nest,
    Numbered,
)
from nodes.uapi import netlink

ADMIN_PERM, UNS_ADMIN_PERM = 0x01, 0x10  # GENL_*_PERM: in the initial user namespace, in the network's
NLCTRL_ID = 0x10


class Operation(NamedTuple):
    """`command` of the request and `reply` of its reply; which `modes` it has, "do" and "dump"."""

    name: str
    command: int
    reply: int
    attributes: Attributes
    modes: frozenset[str]
    admin: int = 0


class Family(NamedTuple):
    """`groups`: the ids of its multicast groups by name."""

    name: str
    id: int
    version: int
    operations: dict[int, Operation]
    groups: dict[str, int]


def _numbered(first: int, kind: Kind, names: str) -> dict[str, Attribute]:
    """Attributes of one kind whose numbers follow each other; "-" leaves a number out."""
    return {name: Attribute(first + at, kind) for at, name in enumerate(names.split()) if name != "-"}


# --- nlctrl

_OP = _numbered(1, U32, "id flags")
_GROUP = {"name": Attribute(1, STRING), "id": Attribute(2, U32)}
_POLICY = {
    **_numbered(1, U32, "type"),
    **_numbered(4, U64, "min-value-u max-value-u"),
    **_numbered(6, U32, "min-length max-length policy-idx policy-maxtype"),
    **_numbered(12, U64, "mask"),
}
NLCTRL = {
    "family-id": Attribute(1, U16),
    "family-name": Attribute(2, STRING),
    **_numbered(3, U32, "version hdrsize maxattr"),
    "ops": Attribute(6, Array(_OP)),
    "mcast-groups": Attribute(7, Array(_GROUP)),
    "policy": Attribute(8, Numbered(Numbered(Nest(_POLICY)))),
    "op-policy": Attribute(9, Numbered(Nest(_numbered(1, U32, "do dump")))),
    "op": Attribute(10, U32),
}

# --- netdev

_QUEUE_TYPE = Enum(U32, "rx", "tx")
_NO_FEATURES = Flags(U64)  # which no NIC here has
_DEV = {
    "ifindex": Attribute(1, U32),
    "xdp-features": Attribute(3, _NO_FEATURES),
    "xdp-rx-metadata-features": Attribute(5, _NO_FEATURES),
    "xsk-features": Attribute(6, _NO_FEATURES),
}
_PAGE_POOL = {
    "id": Attribute(1, UINT),
    "ifindex": Attribute(2, U32),
    **_numbered(3, UINT, "napi-id inflight inflight-mem detach-time"),
    "dmabuf": Attribute(7, U32),
}
_PAGE_POOL_STATS = {
    "info": Attribute(1, Nest(_PAGE_POOL)),
    **_numbered(
        8,
        UINT,
        "alloc-fast alloc-slow alloc-slow-high-order alloc-empty alloc-refill alloc-waive recycle-cached "
        "recycle-cache-full recycle-ring recycle-ring-full recycle-released-refcnt",
    ),
}
_QUEUE = {
    "id": Attribute(1, U32),
    "ifindex": Attribute(2, U32),
    "type": Attribute(3, _QUEUE_TYPE),
    "napi-id": Attribute(4, U32),
    "dmabuf": Attribute(5, U32),
}
_NAPI = {
    **_numbered(1, U32, "ifindex id irq pid defer-hard-irqs"),
    **_numbered(6, UINT, "gro-flush-timeout irq-suspend-timeout"),
    "threaded": Attribute(8, Enum(U32, "disabled", "enabled")),
}
_QSTATS = {
    "ifindex": Attribute(1, U32),
    "queue-type": Attribute(2, _QUEUE_TYPE),
    "queue-id": Attribute(3, U32),
    "scope": Attribute(4, Flags(UINT, "queue")),
    **_numbered(
        8,
        UINT,
        "rx-packets rx-bytes tx-packets tx-bytes rx-alloc-fail rx-hw-drops rx-hw-drop-overruns - "
        "rx-csum-unnecessary rx-csum-none - rx-hw-gro-packets rx-hw-gro-bytes rx-hw-gro-wire-packets "
        "rx-hw-gro-wire-bytes - tx-hw-drops - tx-csum-none tx-needs-csum tx-hw-gso-packets tx-hw-gso-bytes "
        "tx-hw-gso-wire-packets tx-hw-gso-wire-bytes - tx-stop tx-wake",
    ),
}
_DMABUF = {
    "ifindex": Attribute(1, U32),
    "queues": Attribute(2, Nest(_QUEUE), multi=True),
    **_numbered(3, U32, "fd id rx-page-size"),
}

# --- ethtool

_HEADER = {"dev-index": Attribute(1, U32), "dev-name": Attribute(2, STRING), "flags": Attribute(3, U32)}
_OF_DEVICE = {"header": Attribute(1, Nest(_HEADER))}
_BIT = {"index": Attribute(1, U32), "name": Attribute(2, STRING), "value": Attribute(3, FLAG)}
_BITSET = Nest(
    {
        "nomask": Attribute(1, FLAG),
        "size": Attribute(2, U32),
        "bits": Attribute(3, Nest({"bit": Attribute(1, Nest(_BIT), multi=True)})),
        **_numbered(4, WORDS, "value mask"),
    }
)
_STRING = Nest({"index": Attribute(1, U32), "value": Attribute(2, STRING)})
_STRINGSET = {
    **_numbered(1, U32, "id count"),
    "strings": Attribute(3, Nest({"string": Attribute(1, _STRING, multi=True)})),
}
_STRSET = _OF_DEVICE | {
    "stringsets": Attribute(2, Nest({"stringset": Attribute(1, Nest(_STRINGSET), multi=True)})),
    "counts-only": Attribute(3, FLAG),
}
_FEATURES = _OF_DEVICE | _numbered(2, _BITSET, "hw wanted active nochange")
_RINGS = _OF_DEVICE | {
    **_numbered(2, U32, "rx-max rx-mini-max rx-jumbo-max tx-max rx rx-mini rx-jumbo tx rx-buf-len"),
    "tcp-data-split": Attribute(11, Enum(U8, "unknown", "disabled", "enabled")),
    "cqe-size": Attribute(12, U32),
    **_numbered(13, U8, "tx-push rx-push"),
    **_numbered(15, U32, "tx-push-buf-len tx-push-buf-len-max hds-thresh hds-thresh-max"),
}
_CHANNELS = _OF_DEVICE | _numbered(
    2, U32, "rx-max tx-max other-max combined-max rx-count tx-count other-count combined-count"
)
_RSS = _OF_DEVICE | {
    **_numbered(2, U32, "context hfunc"),
    "indir": Attribute(4, WORDS),
    "hkey": Attribute(5, HEX),
    **_numbered(6, U32, "input-xfrm start-context"),
}

# --- the families


def _modes(family: str, name: str) -> frozenset[str]:
    return frozenset(mode for f, operation, mode in netlink.OPERATIONS if (f, operation) == (family, name))


def _netdev(name: str, command: int, attributes: Attributes) -> Operation:
    admin = ADMIN_PERM if netlink.needs_admin("netdev", name) else 0
    return Operation(name, command, command, attributes, _modes("netdev", name), admin)


def _ethtool(name: str, command: int, reply: int, attributes: Attributes) -> Operation:
    """Of every question Linux makes a dump: one answer a device."""
    admin = UNS_ADMIN_PERM if netlink.needs_admin("ethtool", name) else 0
    modes = frozenset({"do"} if admin else {"do", "dump"})
    return Operation(name, command, reply, attributes, modes, admin)


def _family(name: str, number: int, version: int, groups: dict[str, int], *operations: Operation) -> Family:
    return Family(name, number, version, {each.command: each for each in operations}, groups)


_DO, _DUMP = frozenset({"do"}), frozenset({"dump"})
FAMILIES = (
    _family(
        "nlctrl", NLCTRL_ID, 2, {"notify": 0x10},
        Operation("getfamily", 3, 1, NLCTRL, _DO | _DUMP),
        Operation("getpolicy", 10, 10, NLCTRL, _DUMP),
    ),
    _family(
        "ethtool", 0x15, 1, {"monitor": 6},
        _ethtool("strset-get", 1, 1, _STRSET),
        _ethtool("features-get", 11, 11, _FEATURES),
        _ethtool("features-set", 12, 12, _FEATURES),
        _ethtool("rings-get", 15, 16, _RINGS),
        _ethtool("rings-set", 16, 16, _RINGS),
        _ethtool("channels-get", 17, 18, _CHANNELS),
        _ethtool("channels-set", 18, 18, _CHANNELS),
        _ethtool("rss-get", 38, 38, _RSS),
        _ethtool("rss-set", 48, 38, _RSS),
        _ethtool("rss-create-act", 49, 51, _RSS),
        _ethtool("rss-delete-act", 50, 51, _RSS),
    ),
    _family(
        "netdev", 0x14, 1, {"mgmt": 4, "page-pool": 5},
        _netdev("dev-get", 1, _DEV),
        _netdev("page-pool-get", 5, _PAGE_POOL),
        _netdev("page-pool-stats-get", 9, _PAGE_POOL_STATS),
        _netdev("queue-get", 10, _QUEUE),
        _netdev("napi-get", 11, _NAPI),
        _netdev("qstats-get", 12, _QSTATS),
        _netdev("bind-rx", 13, _DMABUF),
        _netdev("bind-tx", 15, _DMABUF),
    ),
)  # fmt: skip
GROUPS = frozenset(group for family in FAMILIES for group in family.groups.values())
