"""The netdev and ethtool netlink families as records: attribute names, types and ranges of the specs.

Dictionaries become these at the client's edge and again where the endpoint reads them; an unknown or
ill-typed attribute is refused as the kernel's policy would. Pure. Sources:
Documentation/netlink/specs/netdev.yaml and ethtool.yaml.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Ifindex = Annotated[int, msgspec.Meta(ge=1, le=0x7FFFFFFF)]
Port = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]


class Attributes(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every record: kebab-case names outside, None for an attribute that is absent."""


# --- netdev


class Queue(Attributes, frozen=True):
    id: U32 | None = None
    type: Literal["rx", "tx"] | None = None


class BindRx(Attributes, frozen=True):
    ifindex: Ifindex | None = None
    fd: U32 | None = None
    queues: tuple[Queue, ...] = ()
    rx_page_size: U32 | None = None


class BindTx(Attributes, frozen=True):
    ifindex: Ifindex | None = None
    fd: U32 | None = None


class Dmabuf(Attributes, frozen=True):
    """The reply of both."""

    id: int


class Dump(Attributes, frozen=True):
    """What a dump is filtered by."""

    ifindex: Ifindex | None = None
    scope: Literal["queue"] | None = None


class Device(Attributes, frozen=True):
    ifindex: int


class QueueInfo(Attributes, frozen=True):
    id: int
    ifindex: int
    type: str
    dmabuf: int | None = None


class PagePoolInfo(Attributes, frozen=True):
    """`inflight` in pages, `inflight_mem` in bytes."""

    id: int
    ifindex: int
    inflight: int
    inflight_mem: int
    dmabuf: int | None = None


# --- ethtool

Split = Literal["unknown", "disabled", "enabled"]


class Rings(Attributes, frozen=True):
    """rings-get's reply, and rings-set's request where None leaves a value alone."""

    rx: U32 | None = None
    rx_max: U32 | None = None
    rx_buf_len: U32 | None = None
    tcp_data_split: Split | None = None
    hds_thresh: U32 | None = None


class Channels(Attributes, frozen=True):
    rx_count: int


class Rss(Attributes, frozen=True):
    """`indir`: the whole table; `equal`: spread over the first so many queues (ethtool -X equal N)."""

    indir: tuple[U32, ...] | None = None
    equal: U32 | None = None
    hkey: str | None = None


class Ntuple(Attributes, frozen=True):
    """One rule; absent fields match anything. Addresses in dotted decimal. `location`: where, the
    lowest free one if absent."""

    flow_type: Literal["tcp4"] = "tcp4"
    src_ip: str | None = None
    dst_ip: str | None = None
    src_port: Port | None = None
    dst_port: Port | None = None
    queue: U32 | None = None
    location: U32 | None = None


class Location(Attributes, frozen=True):
    location: U32


class Empty(Attributes, frozen=True):
    """No attributes."""


OPERATIONS: dict[tuple[str, str], type[Attributes]] = {
    ("netdev", "bind-rx"): BindRx,
    ("netdev", "bind-tx"): BindTx,
    ("netdev", "dev-get"): Dump,
    ("netdev", "queue-get"): Dump,
    ("netdev", "page-pool-get"): Dump,
    ("netdev", "page-pool-stats-get"): Dump,
    ("netdev", "qstats-get"): Dump,
    ("ethtool", "rings-get"): Empty,
    ("ethtool", "rings-set"): Rings,
    ("ethtool", "channels-get"): Empty,
    ("ethtool", "rss-get"): Empty,
    ("ethtool", "rss-set"): Rss,
    ("ethtool", "ntuple-insert"): Ntuple,
    ("ethtool", "ntuple-delete"): Location,
    ("ethtool", "ntuple-get"): Empty,
}

_A = TypeVar("_A", bound=Attributes)


def validate(attributes: Any, kind: type[_A]) -> _A:
    """A dictionary as a record. Raises msgspec.ValidationError, whose text ends in the attribute's path."""
    return msgspec.convert(attributes, kind)
