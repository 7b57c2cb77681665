"""The kernel versions that an endpoint can behave like, and where they differ.

In: a name from the command line. Out: one frozen record that `control`, `sock` and `netmem` consult. Owns the
table of versions. "v17" is the patch series of July 2024 that introduced device memory TCP, before it had the
XDP and ring checks. "newest" is 2026. The boundaries between 6.12 and 6.18 are approximate.
Sources: net/core/devmem.c, net/core/netdev_rx_queue.c, net/core/sock.c,
Documentation/netlink/specs/netdev.yaml of each version.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class KernelVersion:
    """What a kernel has or does."""

    name: str
    devmem_tx: bool  # bind-tx, and SCM_DEVMEM_DMABUF in sendmsg
    rx_page_size: bool  # bind-rx has the attribute rx-page-size: net_iovs larger than a page
    split_off_errno: int  # of bind-rx while tcp-data-split is not enabled
    hds_thresh: bool  # the ring parameter exists, and bind-rx requires it to be 0
    bad_queue_errno: int  # of bind-rx for an rx queue that the device does not have
    duplicate_queue: bool  # bind-rx accepts a queue that is given twice; else EEXIST
    guards_bound_queues: bool  # ethtool -L refuses to deactivate a bound queue
    userns_admin: bool  # CAP_NET_ADMIN in the user namespace of the network namespace is enough
    dontneed_frags_max: int | None  # how many fragments one SO_DEVMEM_DONTNEED visits; None: no limit
    provider_bulk: int  # how many net_iovs a page pool takes from its provider at once
    tcp_info_bytes: int  # length of struct tcp_info
    unreadable_may_follow: bool  # bytes of a dma-buf may follow host pages of MSG_ZEROCOPY in one skb

    @property
    def data_path_note(self) -> str:
        """A note for a table of results about the devmem path, '' if none is needed."""
        return "" if self.devmem_tx else f"kernel {self.name} has no devmem TX: devmem RX with ordinary TX"


_V17 = KernelVersion(
    name="v17",
    devmem_tx=False,
    rx_page_size=False,
    split_off_errno=errno.ENODATA,
    hds_thresh=False,
    bad_queue_errno=errno.ERANGE,
    duplicate_queue=False,
    guards_bound_queues=False,
    userns_admin=False,
    dontneed_frags_max=None,
    provider_bulk=1,
    tcp_info_bytes=248,
    unreadable_may_follow=True,
)
_6_12 = replace(
    _V17,
    name="6.12",
    split_off_errno=errno.EINVAL,
    hds_thresh=True,
    guards_bound_queues=True,
    dontneed_frags_max=1024,
)
_6_18 = replace(
    _6_12,
    name="6.18",
    devmem_tx=True,
    bad_queue_errno=errno.EINVAL,
    duplicate_queue=True,
    tcp_info_bytes=280,
)
DEFAULT = replace(_6_18, name="6.18+rx-page-size", rx_page_size=True)
_NEWEST = replace(
    DEFAULT, name="newest", userns_admin=True, provider_bulk=64, unreadable_may_follow=False
)

VERSIONS = {version.name: version for version in (_V17, _6_12, _6_18, DEFAULT, _NEWEST)}
