"""The netdev and ethtool netlink families as records: attribute names, types and ranges of the specs.

In: nothing. Out: a record type an operation, in `OPERATIONS`, and which operations need CAP_NET_ADMIN; what
decodes into such a record satisfies the kernel's policy (nodes/control/policy.py says how it is refused
otherwise). Owns nothing. Sources: Documentation/netlink/specs/netdev.yaml and ethtool.yaml; n-tuple rules as
struct ethtool_rx_flow_spec has them, for ethtool's netlink family has none.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Id = Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)]
Ifindex = Annotated[int, msgspec.Meta(ge=1, le=0x7FFFFFFF)]
Port = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
# An enumeration by name, or by number as the kernel has it
QueueType = Literal["rx", "tx"] | Annotated[int, msgspec.Meta(ge=0, le=1)]
Split = Literal["unknown", "disabled", "enabled"] | Annotated[int, msgspec.Meta(ge=0, le=2)]

Mode = Literal["do", "dump"]


class Attributes(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every record: kebab-case names outside, None for an attribute that is absent."""


class Empty(Attributes, frozen=True):
    """No attributes."""


# --- netdev


class Queue(Attributes, frozen=True):
    id: U32 | None = None
    type: QueueType | None = None


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


class OfDevice(Attributes, frozen=True):
    """dev-get's request, and what dumps of queues and NAPIs are filtered by."""

    ifindex: Ifindex | None = None


class Device(Attributes, frozen=True):
    """There is no XDP: its features are none."""

    ifindex: int
    xdp_features: tuple[str, ...]
    xdp_rx_metadata_features: tuple[str, ...]
    xsk_features: tuple[str, ...]


class QueueGet(Attributes, frozen=True):
    ifindex: Ifindex | None = None
    type: QueueType | None = None
    id: U32 | None = None


class QueueInfo(Attributes, frozen=True):
    id: int
    type: str
    ifindex: int
    napi_id: int
    dmabuf: int | None = None


class NapiGet(Attributes, frozen=True):
    id: U32 | None = None


class NapiInfo(Attributes, frozen=True):
    """Software interrupts only: no interrupt number, no thread. Times in nanoseconds."""

    id: int
    ifindex: int
    threaded: str
    defer_hard_irqs: int
    irq_suspend_timeout: int
    gro_flush_timeout: int


class PagePoolGet(Attributes, frozen=True):
    id: Id | None = None


class PagePoolInfo(Attributes, frozen=True):
    """`inflight` in pages or net_iovs, `inflight_mem` in bytes, `detach_time` in seconds of
    CLOCK_BOOTTIME."""

    id: int
    ifindex: int
    inflight: int
    inflight_mem: int
    napi_id: int | None = None
    detach_time: int | None = None
    dmabuf: int | None = None


class PagePoolRef(Attributes, frozen=True):
    id: Id | None = None
    ifindex: Ifindex | None = None


class PagePoolStatsGet(Attributes, frozen=True):
    info: PagePoolRef | None = None


class PagePoolStats(Attributes, frozen=True):
    info: PagePoolRef
    alloc_fast: int
    alloc_slow: int
    alloc_slow_high_order: int
    alloc_empty: int
    alloc_refill: int
    alloc_waive: int
    recycle_cached: int
    recycle_cache_full: int
    recycle_ring: int
    recycle_ring_full: int
    recycle_released_refcnt: int


class QstatsGet(Attributes, frozen=True):
    ifindex: Ifindex | None = None
    scope: Literal["queue"] | None = None


class Qstats(Attributes, frozen=True):
    """Of one queue, or of the device. Packets and bytes are the wire's; None: not counted there."""

    ifindex: int
    queue_type: str | None = None
    queue_id: int | None = None
    rx_packets: int | None = None
    rx_bytes: int | None = None
    tx_packets: int | None = None
    tx_bytes: int | None = None
    rx_alloc_fail: int | None = None
    rx_hw_drops: int | None = None
    rx_hw_drop_overruns: int | None = None
    rx_csum_unnecessary: int | None = None
    rx_csum_none: int | None = None
    rx_hw_gro_packets: int | None = None
    rx_hw_gro_bytes: int | None = None
    rx_hw_gro_wire_packets: int | None = None
    rx_hw_gro_wire_bytes: int | None = None
    tx_hw_drops: int | None = None
    tx_csum_none: int | None = None
    tx_needs_csum: int | None = None
    tx_hw_gso_packets: int | None = None
    tx_hw_gso_bytes: int | None = None
    tx_hw_gso_wire_packets: int | None = None
    tx_hw_gso_wire_bytes: int | None = None
    tx_stop: int | None = None
    tx_wake: int | None = None


# --- ethtool


class Rings(Attributes, frozen=True):
    """rings-set: None leaves a value alone."""

    rx: U32 | None = None
    tx: U32 | None = None
    rx_buf_len: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None
    tcp_data_split: Split | None = None
    hds_thresh: U32 | None = None


class RingsInfo(Attributes, frozen=True):
    """Buffers posted to each rx queue, packets that may wait in the tx ring; bytes otherwise."""

    rx_max: int
    tx_max: int
    rx: int
    tx: int
    rx_buf_len: int
    tcp_data_split: str
    hds_thresh: int
    hds_thresh_max: int


class Channels(Attributes, frozen=True):
    """channels-set: None leaves a count alone."""

    rx_count: U32 | None = None
    tx_count: U32 | None = None
    other_count: U32 | None = None
    combined_count: U32 | None = None


class ChannelsInfo(Attributes, frozen=True):
    """None: the device has no channels of that kind. A combined one has an rx and a tx queue."""

    rx_max: int | None = None
    tx_max: int | None = None
    combined_max: int | None = None
    rx_count: int | None = None
    tx_count: int | None = None
    combined_count: int | None = None


class RssContext(Attributes, frozen=True):
    """Which one; absent or 0: the device's own."""

    context: U32 | None = None


class Rss(Attributes, frozen=True):
    """`indir`: the table, or a part that is repeated, or nothing for the default; `equal`: spread over the
    first so many queues (ethtool -X equal N); `hkey` in hexadecimal."""

    context: U32 | None = None
    indir: tuple[U32, ...] | None = None
    equal: U32 | None = None
    hkey: str | None = None


class Ntuple(Attributes, frozen=True):
    """One rule; absent fields match anything. Addresses as text. Of a field with a mask only the bits set
    in the mask are compared. `queue` -1 discards; `context` chooses the queue by an RSS context instead.
    `location`: where, the lowest free one if absent."""

    flow_type: Literal["tcp4", "tcp6"] = "tcp4"
    src_ip: str | None = None
    src_ip_mask: str | None = None
    dst_ip: str | None = None
    dst_ip_mask: str | None = None
    src_port: Port | None = None
    src_port_mask: Port | None = None
    dst_port: Port | None = None
    dst_port_mask: Port | None = None
    queue: Annotated[int, msgspec.Meta(ge=-1, le=0xFFFFFFFF)] | None = None
    context: U32 | None = None
    location: U32 | None = None


class Location(Attributes, frozen=True):
    location: U32 | None = None


class FeaturesSet(Attributes, frozen=True):
    """Features by name, on or off."""

    wanted: dict[str, bool] | None = None


class Features(Attributes, frozen=True):
    """Names of features: those that can be changed, and those that are on."""

    hw: tuple[str, ...]
    active: tuple[str, ...]


OPERATIONS: dict[tuple[str, str, Mode], type[Attributes]] = {
    ("netdev", "bind-rx", "do"): BindRx,
    ("netdev", "bind-tx", "do"): BindTx,
    ("netdev", "dev-get", "do"): OfDevice,
    ("netdev", "dev-get", "dump"): Empty,
    ("netdev", "queue-get", "do"): QueueGet,
    ("netdev", "queue-get", "dump"): OfDevice,
    ("netdev", "napi-get", "do"): NapiGet,
    ("netdev", "napi-get", "dump"): OfDevice,
    ("netdev", "page-pool-get", "do"): PagePoolGet,
    ("netdev", "page-pool-get", "dump"): Empty,
    ("netdev", "page-pool-stats-get", "do"): PagePoolStatsGet,
    ("netdev", "page-pool-stats-get", "dump"): Empty,
    ("netdev", "qstats-get", "dump"): QstatsGet,
    ("ethtool", "rings-get", "do"): Empty,
    ("ethtool", "rings-set", "do"): Rings,
    ("ethtool", "channels-get", "do"): Empty,
    ("ethtool", "channels-set", "do"): Channels,
    ("ethtool", "rss-get", "do"): RssContext,
    ("ethtool", "rss-get", "dump"): Empty,
    ("ethtool", "rss-set", "do"): Rss,
    ("ethtool", "rss-create-act", "do"): Rss,
    ("ethtool", "rss-delete-act", "do"): RssContext,
    ("ethtool", "features-get", "do"): Empty,
    ("ethtool", "features-set", "do"): FeaturesSet,
    ("ethtool", "stats-get", "do"): Empty,
    ("ethtool", "ntuple-insert", "do"): Ntuple,
    ("ethtool", "ntuple-delete", "do"): Location,
    ("ethtool", "ntuple-get", "do"): Location,
    ("ethtool", "ntuple-get", "dump"): Empty,
}
_CHANGES = ("-set", "-act", "-insert", "-delete")


def needs_admin(family: str, operation: str) -> bool:
    """Whether the caller must have CAP_NET_ADMIN: bind-rx and whatever changes the device; not bind-tx."""
    return operation == "bind-rx" or (family == "ethtool" and operation.endswith(_CHANGES))
