"""A frame as a packet socket hands it over (PACKET_VNET_HDR), and as wire packets.

In: a virtio_net_hdr and a frame. Out: a WireFrame; a WireFrame's virtio_net_hdr. Owns nothing. Only headers
are read, but where a checksum that is not TCP's was left to the NIC. include/uapi/linux/virtio_net.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from nodes.nic import header_split
from nodes.nic.header_split import Parsed
from nodes.nic.wire_frame import WireFrame
from nodes.nic.wire_port import PEEK_BYTES
from nodes.wire import ethernet, ipv6, tcp
from nodes.wire.checksum import internet_checksum

VNET = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
NEEDS_CSUM = 1
_GSO_TCPV4, _GSO_TCPV6 = 1, 4
_PLAIN = bytes(VNET.size)
_LINUX_JUMBO_END = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES + 8


@dataclass(slots=True)
class Arrival:
    """A frame that has come at time `at`. `vnet` and `data` are views, which the next one overwrites."""

    vnet: bytearray
    data: memoryview
    at: float

    def parse(self) -> Parsed | None:
        """Where its headers end; None: its wire packets cannot be told (a super-packet other than TCP's)."""
        parsed = header_split.parse(self.data[:PEEK_BYTES].tobytes(), len(self.data))
        return None if self.gso_size and not parsed.l4_start else parsed

    @property
    def gso_size(self) -> int:
        return int(VNET.unpack_from(self.vnet)[3])

    def packets(self, parsed: Parsed) -> int:
        """How many wire packets it stands for."""
        size = self.gso_size
        return -(-(parsed.frame_bytes - parsed.header_bytes) // size) if size else 1

    def has_linux_jumbo(self, parsed: Parsed) -> bool:
        """Whether it is a BIG TCP packet over IPv6 as Linux sends it. No packet socket sends it whole:
        Linux would remove the jumbo header and then find no length (nodes/wire/ipv6.py)."""
        return parsed.l4_start == _LINUX_JUMBO_END and self.data[ethernet.HEADER_BYTES] >> 4 == 6

    def frames(self, parsed: Parsed) -> Iterator[WireFrame]:
        """A copy, which stays, and is cut where it cannot be sent whole."""
        frame = self._copy(parsed)
        step = count = frame.packets
        if self.has_linux_jumbo(parsed):
            step = (ipv6.PAYLOAD_MAX - (parsed.header_bytes - parsed.l4_start)) // frame.gso_size
        for start in range(0, count, step):
            yield frame.slice(start, min(start + step, count))

    def _copy(self, parsed: Parsed) -> WireFrame:
        flags, _, _, gso_size, start, offset = VNET.unpack_from(self.vnet)
        partial = bool(flags & NEEDS_CSUM)
        if partial and not parsed.l4_start:  # a datagram, or a fragment
            partial = False
            self.data[start + offset : start + offset + 2] = _finished(self.data[start:])
        data = bytes(self.data[: parsed.frame_bytes])
        if gso_size >= len(data) - parsed.header_bytes:
            gso_size = 0
        return WireFrame(data, parsed.header_bytes, parsed.l4_start, gso_size, partial)


def _finished(covered: memoryview) -> bytes:
    """The checksum of bytes that have the pseudo-header's sum in its field. 0 says that there is none (RFC
    768), and 0xFFFF is as good."""
    return (internet_checksum(covered) or 0xFFFF).to_bytes(2, "big")


def vnet_header(frame: WireFrame) -> bytes:
    """What the kernel has to finish in a frame that is sent."""
    if not frame.checksum_partial:
        return _PLAIN
    gso_type = (_GSO_TCPV6 if frame.ipv6 else _GSO_TCPV4) if frame.gso_size else 0
    return VNET.pack(
        NEEDS_CSUM, gso_type, frame.header_bytes, frame.gso_size, frame.l4_start, tcp.CHECKSUM_OFFSET
    )
