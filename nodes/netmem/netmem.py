"""netmem: a piece of memory that a packet's payload lies in, a host page or a net_iov.

In: references taken (`get`) and given back (`put`). Out: the last put hands the memory back to its
owner. Whoever holds a netmem knows where its bytes are, never what they are.
Source: include/net/netmem.h (netmem_ref, struct net_iov), pp_ref_count of net/core/page_pool.c.
"""

from __future__ import annotations

from typing import Protocol

from nodes.machine.memory import Region


class Owner(Protocol):
    """Where a netmem goes when its last reference is put: a page pool, or a binding for sending."""

    def put_netmem(self, netmem: Netmem) -> None: ...


class Netmem:
    """`size` bytes of `region` from `offset` on. `owner` is set while it is handed out."""

    __slots__ = ("offset", "owner", "pp_ref_count", "region", "size")

    # What the CPU may not touch: the kernel's low bit of netmem_ref.
    is_net_iov = False
    dmabuf_id = 0

    def __init__(self, region: Region, offset: int, size: int) -> None:
        self.region = region
        self.offset = offset
        self.size = size
        self.owner: Owner | None = None
        self.pp_ref_count = 0

    def get(self) -> None:
        self.pp_ref_count += 1

    def put(self) -> None:
        """Drop one reference; the last one returns the memory to its owner."""
        self.pp_ref_count -= 1
        if self.pp_ref_count <= 0:
            if self.pp_ref_count < 0 or self.owner is None:
                raise RuntimeError(f"netmem at offset {self.offset} put more often than taken")
            self.owner.put_netmem(self)

    def __bytes__(self) -> bytes:
        raise TypeError("a netmem has no bytes to read: only dma, cpu and the accelerator open payload")


class Page(Netmem):
    """Host memory: the CPU may copy from and to it."""

    __slots__ = ()


class NetIov(Netmem):
    """A piece of a dma-buf (struct net_iov): only devices reach it."""

    __slots__ = ("dmabuf_id",)

    is_net_iov = True

    def __init__(self, region: Region, offset: int, size: int, dmabuf_id: int) -> None:
        super().__init__(region, offset, size)
        self.dmabuf_id = dmabuf_id
