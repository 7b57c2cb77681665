"""netmem: a piece of memory in which a packet's payload lies, a host page or a net_iov.

In: references taken (`get`) and put (`put`). Out: the last put hands the netmem to its owner. Owns nothing:
a netmem says where its bytes are, and never what they are.
Source: include/net/netmem.h (netmem_ref, struct net_iov), pp_ref_count of net/core/page_pool.c.
"""

from __future__ import annotations

from typing import Protocol

from nodes.machine.memory import Region


class Owner(Protocol):
    """Gets a netmem back: a page pool, or a binding for sending."""

    def put_netmem(self, netmem: Netmem) -> None:
        """The last reference to `netmem` was put."""
        ...


class Netmem:
    """`size` bytes of `region` from `offset` on. `owner` is set while the netmem is in use or in a pool."""

    __slots__ = ("offset", "owner", "pp_ref_count", "region", "size")

    is_net_iov = False  # the CPU may not touch it; the kernel's low bit of netmem_ref
    dmabuf_id = 0

    def __init__(self, region: Region, offset: int, size: int) -> None:
        self.region = region
        self.offset = offset
        self.size = size
        self.owner: Owner | None = None
        self.pp_ref_count = 0

    def get(self) -> None:
        """Take a reference."""
        self.pp_ref_count += 1

    def put(self) -> None:
        """Put a reference; the last one gives the netmem back to its owner. Raises RuntimeError for one put
        too many."""
        self.pp_ref_count -= 1
        if self.pp_ref_count <= 0:
            if self.pp_ref_count < 0 or self.owner is None:
                raise RuntimeError(f"netmem at offset {self.offset} put more often than taken")
            self.owner.put_netmem(self)

    def __bytes__(self) -> bytes:
        raise TypeError("a netmem has no bytes to read: only dma, cpu and the accelerator open payload")


class Page(Netmem):
    """Host memory: the CPU may copy to and from it."""

    __slots__ = ()


class NetIov(Netmem):
    """A piece of a dma-buf (struct net_iov): only devices access it."""

    __slots__ = ("dmabuf_id",)

    is_net_iov = True

    def __init__(self, region: Region, offset: int, size: int, dmabuf_id: int) -> None:
        super().__init__(region, offset, size)
        self.dmabuf_id = dmabuf_id
