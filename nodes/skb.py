"""A packet as the stack sees it: header bytes that it may read, fragments of payload that it may not.

In: netmems that a NIC filled, or that sendmsg takes for sending. Out: payload that can be cut, joined and
released without being read. Frags is the payload: from rx_queue through TCP to the receive queue, and from
sendmsg through TCP to tx_queue. It owns a reference to the netmem of each fragment, and satisfies
tcp.segment.Payload. Source: struct sk_buff, skb_shared_info, skb->unreadable (include/linux/skbuff.h).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, cast

from mypy_extensions import mypyc_attr

from nodes.netmem.netmem import Netmem
from nodes.uapi.socket import MAX_SKB_FRAGS, PAGE_SIZE


class Frag:
    """`size` bytes of `netmem`, `offset` bytes into its region (not into the netmem): skb_frag_t."""

    __slots__ = ("netmem", "offset", "size")

    def __init__(self, netmem: Netmem, offset: int, size: int) -> None:
        self.netmem = netmem
        self.offset = offset
        self.size = size


class Frags:
    """Fragments in order. All are readable or all are unreadable, except that readable ones of a linear part
    may come first (LinearFrags)."""

    __slots__ = ("_length", "frags", "unreadable")
    linear = False

    def __init__(self, frags: list[Frag]) -> None:
        self.frags = frags
        self.unreadable = frags[-1].netmem.is_net_iov
        length = 0
        for frag in frags:
            length += frag.size
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        raise TypeError("payload is opaque to the stack: only dma, cpu and the accelerator open it")

    @property
    def truesize(self) -> int:
        """Its length, as of copied bytes, but whole pages of device memory, to which it holds references
        (__zerocopy_sg_from_iter)."""
        if not self.unreadable:
            return self._length
        return sum(
            -(-(frag.offset % PAGE_SIZE + frag.size) // PAGE_SIZE) * PAGE_SIZE for frag in self.frags
        )

    @property
    def buffer_bytes(self) -> int:
        """Of the netmems that it lies in, each of them whole."""
        return sum(frag.netmem.size for frag in self.frags)

    def slice(self, start: int, stop: int) -> Self:
        """Bytes [start, stop), with new references."""
        taken: list[Frag] = []
        at = 0
        for frag in self.frags:
            after = at + frag.size
            if after > start:
                low = start - at if start > at else 0
                high = frag.size if after <= stop else stop - at
                frag.netmem.pp_ref_count += 1
                taken.append(Frag(frag.netmem, frag.offset + low, high - low))
                if after >= stop:
                    break
            at = after
        return self._of(taken)

    def _of(self, frags: list[Frag]) -> Self:
        """Other fragments of the same kind. Not by `type(self)`, which compiled code calls slowly."""
        return cast(Self, Frags(frags))

    def alike(self, other: Frags) -> bool:
        """Whether both are readable or both unreadable, and both or neither have a linear part."""
        return self.unreadable == other.unreadable and self.linear == other.linear

    def can_extend(self, other: Frags) -> bool:
        """Whether `other` may be appended: both are alike (skb_try_coalesce), and there are not more than
        MAX_SKB_FRAGS fragments."""
        return self.alike(other) and len(self.frags) < MAX_SKB_FRAGS

    def extend(self, other: Frags) -> None:
        """Append `other` and take over its references. Adjacent bytes of one netmem become one fragment."""
        last, first = self.frags[-1], other.frags[0]
        if last.netmem is first.netmem and last.offset + last.size == first.offset:
            last.size += first.size
            first.netmem.put()  # one fragment, one reference
            self.frags += other.frags[1:]
        else:
            self.frags += other.frags
        self._length += other._length

    def release(self) -> None:
        """Put the references."""
        for frag in self.frags:
            frag.netmem.put()


class LinearFrags(Frags):
    """Payload whose first bytes the NIC placed with the headers. In the kernel they are in the linear part of
    the skb, here in host pages. `unreadable` tells of the fragments behind them; if there are none, the
    payload is readable."""

    __slots__ = ()
    linear = True

    def _of(self, frags: list[Frag]) -> Self:
        return cast(Self, LinearFrags(frags))


@mypyc_attr(free_list_len=1)
@dataclass(slots=True, init=False)
class Skb:
    """`header`: all headers so far, Ethernet's of a received packet included. `queue`: the rx
    queue. `gso_size`: payload bytes of each wire packet that the skb stands for; 0: it is one packet.
    `wire_packets`: how many they are. `checksum_good`: false if the TCP checksum was not verified
    (CHECKSUM_NONE). `scarce`: the payload lies in one of the last buffers of the queue."""

    header: bytes
    payload: Frags | None
    queue: int = 0
    gso_size: int = 0
    wire_packets: int = 1
    checksum_good: bool = True
    scarce: bool = False

    def __init__(
        self, header: bytes, payload: Frags | None, queue: int = 0, gso_size: int = 0,
        wire_packets: int = 1, checksum_good: bool = True, scarce: bool = False,
    ) -> None:  # fmt: skip
        self.header = header
        self.payload = payload
        self.queue = queue
        self.gso_size = gso_size
        self.wire_packets = wire_packets
        self.checksum_good = checksum_good
        self.scarce = scarce

    def release(self) -> None:
        """Release the payload. Idempotent."""
        if self.payload is not None:
            self.payload.release()
            self.payload = None


def frags_of(netmems: list[Netmem], length: int) -> Frags:
    """The first `length` bytes of `netmems`, one after the other, as fragments. Takes the references over."""
    frags = []
    for netmem in netmems:
        size = netmem.size if netmem.size < length else length
        frags.append(Frag(netmem, netmem.offset, size))
        length -= size
    return Frags(frags)
