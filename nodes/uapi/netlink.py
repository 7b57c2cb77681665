"""The netdev and ethtool netlink families as records: attribute names, types and ranges of the specs.

In: nothing. Out: the record type of each operation's request, in `OPERATIONS`; the record types of replies;
which operations need CAP_NET_ADMIN. A request that decodes into its record satisfies the kernel's policy;
nodes/control/policy.py says how any other request is refused. Owns nothing. Sources:
Documentation/netlink/specs/netdev.yaml and ethtool.yaml. N-tuple rules and the counters of ethtool -S are
ioctls in the kernel (struct ethtool_rx_flow_spec, ETHTOOL_GSTATS); here they are operations of the ethtool
family.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]
Id = Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)]
Ifindex = Annotated[int, msgspec.Meta(ge=1, le=0x7FFFFFFF)]
Port = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
Protocol = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
FlowType = Literal["tcp4", "tcp6", "ip4", "ip6"]
# Enumerations: by name, or by the number that the kernel gives the name
QueueType = Literal["rx", "tx"] | Annotated[int, msgspec.Meta(ge=0, le=1)]
Split = Literal["unknown", "disabled", "enabled"] | Annotated[int, msgspec.Meta(ge=0, le=2)]

ALTIFNAMSIZ = 128  # bytes of an interface name and its NUL, at most (include/uapi/linux/if.h)
RULES_MAX = 1024  # n-tuple rules that a device has room for
Mode = Literal["do", "dump"]


class Attributes(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    """Base of every record. A field's encoded name is in kebab-case; None means that the attribute is
    absent."""


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
    """The reply of bind-rx and of bind-tx: the dma-buf's id."""

    id: int


class IfindexOnly(Attributes, frozen=True):
    """The request of dev-get, and of the dumps of queues and NAPIs: these cover one device, or all without
    an ifindex."""

    ifindex: Ifindex | None = None


class Device(Attributes, frozen=True):
    """The reply of dev-get. The NIC has no XDP, so all three sets of features are empty."""

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
    napi_id: int | None = None
    dmabuf: int | None = None


class NapiGet(Attributes, frozen=True):
    id: U32 | None = None


class NapiInfo(Attributes, frozen=True):
    """The NIC has neither interrupts nor a NAPI thread, so irq and pid are absent. Timeouts in
    nanoseconds. None: the kernel version does not have the attribute."""

    id: int
    ifindex: int
    threaded: str | None = None
    defer_hard_irqs: int | None = None
    irq_suspend_timeout: int | None = None
    gro_flush_timeout: int | None = None


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
    scope: Literal["queue"] | tuple[Literal["queue"], ...] | None = None  # flags, by name or as a list


class Qstats(Attributes, frozen=True):
    """Counters of one queue, or of the whole device without queue_type and queue_id. Packets and bytes are
    those of the wire, before coalescing and after segmentation; None: this kind of queue has no such
    counter."""

    ifindex: int
    queue_type: str | None = None
    queue_id: int | None = None
    rx_packets: Annotated[int | None, "packets", "wire packets received"] = None
    rx_bytes: Annotated[int | None, "B", "bytes of these, with a header each"] = None
    tx_packets: Annotated[int | None, "packets", "wire packets sent"] = None
    tx_bytes: Annotated[int | None, "B", "bytes of these, with a header each"] = None
    rx_alloc_fail: Annotated[int | None, "times", "how often the page pool had no buffer to post"] = None
    rx_hw_drops: Annotated[
        int | None, "packets",
        "frames taken and dropped; of a device also those that its FIFO or a rule dropped",
    ] = None
    rx_hw_drop_overruns: Annotated[
        int | None, "packets",
        "those among them that found too few buffers posted; of a device also the FIFO full",
    ] = None
    rx_csum_unnecessary: Annotated[
        int | None, "packets", "frames of which the NIC verified the checksum"
    ] = None
    rx_csum_none: Annotated[int | None, "packets", "the others"] = None
    rx_hw_gro_packets: Annotated[int | None, "packets", "super-packets received"] = None
    rx_hw_gro_bytes: Annotated[int | None, "B", "bytes of these, with one header each"] = None
    rx_hw_gro_wire_packets: Annotated[
        int | None, "packets", "wire packets that they were coalesced from"
    ] = None
    rx_hw_gro_wire_bytes: Annotated[int | None, "B", "bytes of these, with a header each"] = None
    tx_hw_drops: Annotated[int | None, "packets", "packets lost on the way out"] = None
    tx_csum_none: Annotated[
        int | None, "packets", "packets that the NIC was not asked to compute a checksum of"
    ] = None
    tx_needs_csum: Annotated[int | None, "packets", "the others"] = None
    tx_hw_gso_packets: Annotated[int | None, "packets", "super-packets sent"] = None
    tx_hw_gso_bytes: Annotated[int | None, "B", "bytes of these, with one header each"] = None
    tx_hw_gso_wire_packets: Annotated[int | None, "packets", "wire packets that they were cut into"] = None
    tx_hw_gso_wire_bytes: Annotated[int | None, "B", "bytes of these, with a header each"] = None
    tx_stop: Annotated[int | None, "times", "how often the wire was busy and a packet had to wait"] = None
    tx_wake: Annotated[int | None, "times", "how often all that waited had been sent"] = None


# --- ethtool: every request and every reply names its device in a header


class Header(Attributes, frozen=True):
    """A request names its device by index, by name, or by both; a reply has both. Flags (compact bitsets,
    replies to set requests) are not modelled."""

    dev_index: U32 | None = None
    dev_name: Annotated[str, msgspec.Meta(max_length=ALTIFNAMSIZ - 1)] | None = None


class HeaderOnly(Attributes, frozen=True):
    """A request without further attributes, and the base of the requests that have some."""

    header: Header | None = None


class Rings(HeaderOnly, frozen=True):
    """rings-set. None leaves a value as it is."""

    rx: U32 | None = None
    tx: U32 | None = None
    rx_buf_len: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None
    tcp_data_split: Split | None = None
    hds_thresh: U32 | None = None


class RingsInfo(Attributes, frozen=True):
    """rx: buffers posted to each rx queue; tx: packets that may wait in the tx ring; the rest in bytes. None:
    the kernel version does not have the attribute."""

    header: Header
    rx_max: int
    tx_max: int
    rx: int
    tx: int
    rx_buf_len: int
    tcp_data_split: str
    hds_thresh: int | None = None
    hds_thresh_max: int | None = None


class Channels(HeaderOnly, frozen=True):
    """channels-set. None leaves a count as it is."""

    rx_count: U32 | None = None
    tx_count: U32 | None = None
    other_count: U32 | None = None
    combined_count: U32 | None = None


class ChannelsInfo(Attributes, frozen=True):
    """None: the device has no channels of that kind. A combined channel has an rx queue and a tx queue."""

    header: Header
    rx_max: int | None = None
    tx_max: int | None = None
    combined_max: int | None = None
    rx_count: int | None = None
    tx_count: int | None = None
    combined_count: int | None = None


class RssContext(HeaderOnly, frozen=True):
    """The id of an RSS context; absent or 0: the device's own table and key."""

    context: U32 | None = None


class RssDump(HeaderOnly, frozen=True):
    """Contexts from `start_context` on: 1 leaves out the device's own table and key."""

    start_context: U32 | None = None


class Rss(HeaderOnly, frozen=True):
    """`indir` is the indirection table; a shorter one is repeated, an empty one means the default. `equal`
    spreads over the first so many queues (ethtool -X equal N). `hkey` is the hash key in hexadecimal."""

    context: U32 | None = None
    indir: tuple[U32, ...] | None = None
    equal: U32 | None = None
    hkey: str | None = None


class Ntuple(HeaderOnly, frozen=True):
    """One rule, for TCP (tcp4, tcp6) by addresses and ports, or for IP (ip4, ip6) by addresses and protocol;
    an absent field matches everything. Addresses are text. Of a field with a mask only the bits
    that are set in the mask are compared. `queue` -1 drops the packet; with `context` that RSS context
    chooses the queue. `location`: the rule's place in the table; absent: the lowest that is free."""

    flow_type: FlowType = "tcp4"
    src_ip: str | None = None
    src_ip_mask: str | None = None
    dst_ip: str | None = None
    dst_ip_mask: str | None = None
    src_port: Port | None = None
    src_port_mask: Port | None = None
    dst_port: Port | None = None
    dst_port_mask: Port | None = None
    l4proto: Protocol | None = None
    l4proto_mask: Protocol | None = None
    queue: Annotated[int, msgspec.Meta(ge=-1, le=0xFFFFFFFF)] | None = None
    context: U32 | None = None
    location: U32 | None = None


class Location(HeaderOnly, frozen=True):
    """The place of a rule in the n-tuple table."""

    location: U32 | None = None


class FeaturesSet(HeaderOnly, frozen=True):
    """Features by name: True turns a feature on, False off."""

    wanted: dict[str, bool] | None = None


class Features(Attributes, frozen=True):
    """Names of features: `hw` can be changed, `active` are on."""

    header: Header
    hw: tuple[str, ...]
    active: tuple[str, ...]


class Stats(Attributes, frozen=True):
    """The counters of ethtool -S by name."""

    header: Header
    stats: dict[str, int]


OPERATIONS: dict[tuple[str, str, Mode], type[Attributes]] = {
    ("netdev", "bind-rx", "do"): BindRx,
    ("netdev", "bind-tx", "do"): BindTx,
    ("netdev", "dev-get", "do"): IfindexOnly,
    ("netdev", "dev-get", "dump"): Empty,
    ("netdev", "queue-get", "do"): QueueGet,
    ("netdev", "queue-get", "dump"): IfindexOnly,
    ("netdev", "napi-get", "do"): NapiGet,
    ("netdev", "napi-get", "dump"): IfindexOnly,
    ("netdev", "page-pool-get", "do"): PagePoolGet,
    ("netdev", "page-pool-get", "dump"): Empty,
    ("netdev", "page-pool-stats-get", "do"): PagePoolStatsGet,
    ("netdev", "page-pool-stats-get", "dump"): Empty,
    ("netdev", "qstats-get", "dump"): QstatsGet,
    ("ethtool", "rings-get", "do"): HeaderOnly,
    ("ethtool", "rings-set", "do"): Rings,
    ("ethtool", "channels-get", "do"): HeaderOnly,
    ("ethtool", "channels-set", "do"): Channels,
    ("ethtool", "rss-get", "do"): RssContext,
    ("ethtool", "rss-get", "dump"): RssDump,
    ("ethtool", "rss-set", "do"): Rss,
    ("ethtool", "rss-create-act", "do"): Rss,
    ("ethtool", "rss-delete-act", "do"): RssContext,
    ("ethtool", "features-get", "do"): HeaderOnly,
    ("ethtool", "features-set", "do"): FeaturesSet,
    ("ethtool", "stats-get", "do"): HeaderOnly,
    ("ethtool", "ntuple-insert", "do"): Ntuple,
    ("ethtool", "ntuple-delete", "do"): Location,
    ("ethtool", "ntuple-get", "do"): Location,
    ("ethtool", "ntuple-get", "dump"): HeaderOnly,
}
_CHANGES = ("-set", "-act", "-insert", "-delete")


def needs_admin(family: str, operation: str) -> bool:
    """Whether the caller needs CAP_NET_ADMIN: bind-rx and every operation that changes a device or a route
    do, bind-tx does not (GENL_ADMIN_PERM, rtnetlink_rcv_msg)."""
    if family == "rt-route":
        return operation != "getroute"
    return operation == "bind-rx" or (family == "ethtool" and operation.endswith(_CHANGES))
