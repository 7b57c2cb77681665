"""The kernel versions that an endpoint can behave like, and the commits by which they differ.

In: a name from the command line. Out: one frozen record that `control`, `sock` and `netmem` consult. Owns the
table of versions and of changes. A version is its first release: "7.1" is 7.1.0. 6.18.0 and 6.18.55 differ by
what stable releases took over. "v17" is the patch series of July 2024 that introduced device memory TCP.
docs/devmem.md shows the changes beside their commits, and says which facts are indirect.
Sources: net/core/{devmem,datagram,netdev-genl,netdev_rx_queue,sock}.c, net/ipv4/tcp.c,
include/uapi/linux/tcp.h and Documentation/netlink/specs/{netdev,ethtool}.yaml at these commits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

# What becomes of unsent readable and unreadable bytes that a zero-copy send would bring into one skb:
# "taken": bytes of a dma-buf may follow, readable bytes may not (EFAULT); "refused": neither may (EFAULT);
# "parted": either begins another skb.
MixedSkb = Literal["taken", "refused", "parted"]


@dataclass(frozen=True, slots=True)
class KernelVersion:
    """What a kernel has or does. The defaults are v17's."""

    name: str
    guards_bound_queues: bool = False  # ethtool -L refuses to deactivate a bound queue
    dontneed_frags_max: int | None = None  # fragments that one SO_DEVMEM_DONTNEED visits; None: no limit
    napi_settings: bool = False  # napi-get has the timeouts of each NAPI
    hds_thresh: bool = False  # the ring parameter exists; bind-rx wants header split on and a threshold of 0
    ops_lock: bool = False  # bind-rx looks first whether the driver has queue management
    devmem_tx: bool = False  # bind-tx, and SCM_DEVMEM_DMABUF in sendmsg
    napi_threaded: bool = False  # napi-get has `threaded`
    queues_first: bool = False  # bind-rx reads all queues, and their DMA devices, ahead of the dma-buf
    tcp_info_bytes: int = 248  # length of struct tcp_info
    whole_niovs: bool = False  # a dma-buf whose size is not a multiple of the net_iov size is EINVAL
    bind_rx_userns: bool = False  # bind-rx asks the user namespace that owns the network namespace
    mixed_skb: MixedSkb = "taken"
    rx_page_size: bool = False  # bind-rx has the attribute rx-page-size: net_iovs larger than a page
    niov_freelist: bool = False  # a page pool takes 64 net_iovs at once from a freelist; else one, the lowest

    @property
    def data_path_note(self) -> str:
        """A note for a table of results about the devmem path, '' if none is needed."""
        return "" if self.devmem_tx else f"kernel {self.name} has no devmem TX: devmem RX with ordinary TX"


@dataclass(frozen=True, slots=True)
class Change:
    """A field of KernelVersion gets a value. `commits`: what did that, hash and subject. `since`: the first
    release that has them; `stable`: the first of each stable series that took them over."""

    field: str
    value: bool | int | str
    since: str
    commits: tuple[str, ...]
    stable: tuple[str, ...] = ()


GUARD = Change(
    "guards_bound_queues", True, "6.12", ("170aafe35cb9 netdev: support binding dma-buf to netdevice",)
)
DONTNEED_LIMIT = Change(
    "dontneed_frags_max", 1024, "6.12", ("f2685c00c322 net: fix SO_DEVMEM_DONTNEED looping too long",)
)
NAPI_SETTINGS = Change(
    "napi_settings", True, "6.13",
    (
        "516010460011 netdev-genl: Dump napi_defer_hard_irqs",
        "0137891e7457 netdev-genl: Dump gro_flush_timeout",
        "5dc51ec86df6 net: Add napi_struct parameter irq_suspend_timeout",
    ),
)  # fmt: skip
HDS_THRESH = Change(
    "hds_thresh", True, "6.14",
    (
        "eec8359f0797 net: ethtool: add support for configuring hds-thresh",
        "a08a5c948401 net: devmem: add ring parameter filtering",
    ),
)  # fmt: skip
OPS_LOCK = Change(
    "ops_lock", True, "6.15",
    ('0a65dcf6249b net: designate queue counts as "double ops protected" by instance lock',),
)  # fmt: skip
DEVMEM_TX = Change(
    "devmem_tx", True, "6.16",
    ("8802087d20c0 net: devmem: TCP tx netlink api", "bd61848900bf net: devmem: Implement TX path"),
)  # fmt: skip
NAPI_THREADED = Change(
    "napi_threaded", True, "6.17",
    (
        "2677010e7793 Add support to set NAPI threaded for individual NAPI",
        "8e7583a4f65f net: define an enum for the napi threaded state",
    ),
)  # fmt: skip
QUEUES_FIRST = Change(
    "queues_first", True, "6.18",
    (
        "7c7e94603a76 net: devmem: get netdev DMA device via new API",
        "1b416902cd25 net: devmem: pre-read requested rx queues during bind",
        "b8aab4bb9585 net: devmem: allow binding on rx queues with same DMA devices",
    ),
)  # fmt: skip
TCP_INFO = Change("tcp_info_bytes", 280, "6.18", ("9a0112774455 tcp: accecn: add AccECN rx byte counters",))
WHOLE_NIOVS = Change(
    "whole_niovs", True, "7.1",
    ("4eb82ba54342 net: devmem: reject dma-buf bind with non-page-aligned size or SG length",),
    ("6.18.35", "7.0.11"),
)  # fmt: skip
MIX_REFUSED = Change(
    "mixed_skb", "refused", "7.2", ("53a43508ee33 net: devmem: prevent net-iov / page mixing",),
    ("6.18.45", "7.1.9"),
)  # fmt: skip
USERNS = Change(
    "bind_rx_userns", True, "7.2", ("e302aa3d00fb net: devmem: allow bind-rx from non-init user namespaces",)
)
MIX_PARTED = Change(
    "mixed_skb", "parted", "7.3", ("d9c56501c72f net: tcp: block mixing readable and unreadable frags",),
    ("6.18.52", "7.2.6"),
)  # fmt: skip
RX_PAGE_SIZE = Change(
    "rx_page_size", True, "7.3",
    ("b27a8560eec9 net: devmem: allow rx-page-size > PAGE_SIZE per dmabuf binding",),
)  # fmt: skip
FREELIST = Change(
    "niov_freelist", True, "7.4",
    (
        "083e64a3af77 net: devmem: replace gen_pool with freelist",
        "050bacb138f1 net: devmem: batch net_iov allocations into the page_pool cache",
    ),
)  # fmt: skip
CHANGES = (
    GUARD, DONTNEED_LIMIT, NAPI_SETTINGS, HDS_THRESH, OPS_LOCK, DEVMEM_TX, NAPI_THREADED, QUEUES_FIRST,
    TCP_INFO, WHOLE_NIOVS, MIX_REFUSED, USERNS, MIX_PARTED, RX_PAGE_SIZE, FREELIST,
)  # fmt: skip


def _after(before: KernelVersion, name: str, *changes: Change) -> KernelVersion:
    values: dict[str, bool | int | str] = {change.field: change.value for change in changes}
    return replace(before, name=name, **values)  # type: ignore[arg-type]


_V17 = KernelVersion("v17")
_6_12 = _after(_V17, "6.12", GUARD, DONTNEED_LIMIT)
_6_16 = _after(_6_12, "6.16", NAPI_SETTINGS, HDS_THRESH, OPS_LOCK, DEVMEM_TX)
_6_18 = _after(_6_16, "6.18.0", NAPI_THREADED, QUEUES_FIRST, TCP_INFO)
_6_18_55 = _after(_6_18, "6.18.55", WHOLE_NIOVS, MIX_PARTED)
_7_1 = _after(_6_18, "7.1", WHOLE_NIOVS)
_7_2 = _after(_7_1, "7.2", MIX_REFUSED, USERNS)
_7_3 = _after(_7_2, "7.3", MIX_PARTED, RX_PAGE_SIZE)
_7_4 = _after(_7_3, "7.4-rc", FREELIST)

VERSIONS = {
    version.name: version for version in (_V17, _6_12, _6_16, _6_18, _6_18_55, _7_1, _7_2, _7_3, _7_4)
}
DEFAULT = _7_3  # the newest release
