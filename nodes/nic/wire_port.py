"""The port between a NIC and its wire: the Wire protocol and the two records that cross it.

In: frames that the NIC sends, each with a TxOffload. Out: frames that wait on the wire, each described by an
RxFrame. Owns nothing. `af_packet.AfPacket` is a wire of Linux, `impairment.Impairment` a bad wire in front of
another one; tests and simulations have wires of their own. TxOffload is struct virtio_net_hdr
(include/uapi/linux/virtio_net.h) without its wire format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mypy_extensions import mypyc_attr

PEEK_BYTES = 182  # the NIC's parser sees so much: Ethernet, and the longest IP and TCP headers that are split


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class RxFrame:
    """A frame that waits on the wire.

    `head`: its first PEEK_BYTES, or all of a shorter frame, with any bytes behind its end. `length`: bytes of
    the whole frame. `gso_size`: payload bytes of each wire packet of a super-packet; 0: the frame is one
    packet. `checksum_good`: the TCP checksum was verified, or a sender on this machine left it to be filled
    in.
    """

    head: bytes
    length: int
    gso_size: int
    checksum_good: bool

    def __init__(self, head: bytes, length: int, gso_size: int, checksum_good: bool) -> None:
        self.head = head
        self.length = length
        self.gso_size = gso_size
        self.checksum_good = checksum_good


@dataclass(slots=True, init=False)
class TxOffload:
    """What the NIC has to finish in a frame (TSO and checksum offload).

    `header_bytes`: length of all headers. `gso_size`: payload bytes of each wire packet that TSO makes of the
    frame; 0: no TSO. `csum_start`: where the TCP header begins; 0: the checksum is final. `csum_offset`:
    where the checksum field lies in it. `ipv6`: the frame is IPv6; matters for TSO only. Many frames may have
    one record: it does not change.
    """

    header_bytes: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    ipv6: bool = False

    def __init__(
        self, header_bytes: int = 0, gso_size: int = 0, csum_start: int = 0, csum_offset: int = 0,
        ipv6: bool = False,
    ) -> None:  # fmt: skip
        self.header_bytes = header_bytes
        self.gso_size = gso_size
        self.csum_start = csum_start
        self.csum_offset = csum_offset
        self.ipv6 = ipv6


class Wire(Protocol):
    """Frames in and out. "Nothing there" and "busy" are return values, not errors."""

    def peek(self) -> RxFrame | None:
        """The first frame that waits, None if none does. It stays on the wire until `receive` or `drop`."""
        ...

    def receive(self, views: Sequence[memoryview]) -> None:
        """Take the peeked frame off the wire and write it over `views`, one after the other. Bytes that the
        views have no room for are lost."""
        ...

    def drop(self) -> None:
        """Take the peeked frame off the wire and discard it."""
        ...

    def send(self, header: bytes, payload: Sequence[memoryview], offload: TxOffload) -> bool:
        """Send one frame, `header` and then `payload`. False: the wire is busy, nothing was taken.

        Raises OSError for a frame that the wire refuses (EMSGSIZE) and for a link that is down (ENETDOWN).
        """
        ...

    def overruns(self) -> int:
        """Frames that were lost since the last call because the FIFO in front of the NIC was full."""
        ...
