"""A packet as the stack sees it: header bytes it may read, and fragments of payload it may not.

Frags is the payload that travels: from rx_queue through TCP to the receive queue, and from sendmsg
through TCP to tx_queue. It satisfies tcp.segment.Payload. Source: struct sk_buff, skb_shared_info,
skb->unreadable (include/linux/skbuff.h).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from nodes.netmem.netmem import Netmem
from nodes.uapi.socket import MAX_SKB_FRAGS


class Frag:
    """`size` bytes of `netmem`, `offset` bytes into its region (not into the netmem): skb_frag_t."""

    __slots__ = ("netmem", "offset", "size")

    def __init__(self, netmem: Netmem, offset: int, size: int) -> None:
        self.netmem = netmem
        self.offset = offset
        self.size = size


class Frags:
    """Fragments in order, a reference held on each one's netmem. All readable or all unreadable, but for a
    linear part, which comes first."""

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

    def slice(self, start: int, stop: int) -> Self:
        """Bytes [start, stop) with references of their own."""
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
        return type(self)(taken)

    def can_extend(self, other: Frags) -> bool:
        """Readable and unreadable bytes never share a packet (skb_try_coalesce), nor do linear and others;
        and a packet has so many fragments."""
        alike = self.unreadable == other.unreadable and self.linear == other.linear
        return alike and len(self.frags) < MAX_SKB_FRAGS

    def extend(self, other: Frags) -> None:
        """Append `other` and own its references; neighbours in one netmem become one fragment."""
        last, first = self.frags[-1], other.frags[0]
        if last.netmem is first.netmem and last.offset + last.size == first.offset:
            last.size += first.size
            first.netmem.put()  # one fragment, one reference
            self.frags += other.frags[1:]
        else:
            self.frags += other.frags
        self._length += other._length

    def release(self) -> None:
        for frag in self.frags:
            frag.netmem.put()


class LinearFrags(Frags):
    """Payload that begins with what the NIC could not part from the headers: what the kernel has in an skb's
    linear part. Here it lies in host pages. If that is all of it, it is readable."""

    __slots__ = ()
    linear = True


@dataclass(slots=True)
class Skb:
    """`header` is a view of a host buffer that is reused after the poll batch; `wire_packets` is how many
    packets of the wire it stands for, `gso_size` the payload bytes of each (0: not segmented).
    `checksum_good` is false when nobody vouches for the TCP checksum (CHECKSUM_NONE)."""

    header: memoryview
    payload: Frags | None
    queue: int = 0
    gso_size: int = 0
    wire_packets: int = 1
    checksum_good: bool = True

    def release(self) -> None:
        if self.payload is not None:
            self.payload.release()
            self.payload = None


def frags_of(netmems: Iterable[Netmem], length: int) -> Frags:
    """Fragments over `length` bytes that fill `netmems` one after the other."""
    frags = []
    for netmem in netmems:
        size = netmem.size if netmem.size < length else length
        frags.append(Frag(netmem, netmem.offset, size))
        length -= size
    return Frags(frags)
