"""One frame of the wire and the wire packets it stands for: what a NIC's segmentation would make of it.

In: a whole frame, and how many payload bytes each of its packets carries. Out: any run of its packets as a
frame of its own, its headers set right; a packet with one bit wrong. Owns the frame's bytes. Source: the
rules of net/ipv4/tcp_offload.c for sequence numbers and flags; RFC 791, 8200 and 9293 for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.wire import ethernet, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum

_IPV4_TOTAL, _IPV4_ID, _IPV4_CHECKSUM = ethernet.HEADER_BYTES + 2, ethernet.HEADER_BYTES + 4, 24
_IPV4_ADDRESSES, _IPV6_ADDRESSES = slice(26, 34), slice(22, 54)
_IPV6_PAYLOAD, _IPV6_HEADER_END = ethernet.HEADER_BYTES + 4, ethernet.HEADER_BYTES + 40


@dataclass(frozen=True, slots=True)
class WireFrame:
    """`data` ends where the frame does. `l4_start` 0: no TCP was found, and the frame is one packet.
    `unfinished`: its TCP checksum was left to the NIC, or nobody needs to look at it."""

    data: bytes | bytearray
    header_bytes: int
    l4_start: int
    gso_size: int  # payload bytes a packet, 0: the frame is one packet
    unfinished: bool

    @property
    def packets(self) -> int:
        return -(-(len(self.data) - self.header_bytes) // self.gso_size) if self.gso_size else 1

    def run(self, start: int, stop: int) -> WireFrame:
        """Packets [start, stop) as a frame."""
        last = self.packets
        if start == 0 and stop == last:
            return self
        payload = memoryview(self.data)[self.header_bytes :]
        part = payload[start * self.gso_size : stop * self.gso_size]
        header = bytearray(self.data[: self.header_bytes])
        self._set_lengths(header, start, len(part), len(payload))
        at = self.l4_start
        sequence = int.from_bytes(header[at + 4 : at + 8], "big") + start * self.gso_size
        header[at + 4 : at + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
        if stop < last:
            header[at + 13] &= ~(tcp.FIN | tcp.PSH) & 0xFF
        if start > 0:
            header[at + 13] &= ~tcp.CWR & 0xFF
        gso_size = self.gso_size if stop - start > 1 else 0
        return WireFrame(bytes(header) + part, self.header_bytes, at, gso_size, self.unfinished)

    def _set_lengths(self, header: bytearray, start: int, part_bytes: int, all_bytes: int) -> None:
        """IP lengths, and the pseudo-header sum that stands where the NIC will put the TCP checksum."""
        packet_bytes = len(header) - ethernet.HEADER_BYTES + part_bytes
        if header[ethernet.HEADER_BYTES] >> 4 == 4:
            total = packet_bytes if packet_bytes <= 0xFFFF else 0
            header[_IPV4_TOTAL : _IPV4_TOTAL + 2] = total.to_bytes(2, "big")
            number = int.from_bytes(header[_IPV4_ID : _IPV4_ID + 2], "big") + start
            header[_IPV4_ID : _IPV4_ID + 2] = (number & 0xFFFF).to_bytes(2, "big")
            header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = bytes(2)
            checksum = internet_checksum(bytes(header[ethernet.HEADER_BYTES : self.l4_start]))
            header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = checksum.to_bytes(2, "big")
        else:
            after_header = ethernet.HEADER_BYTES + packet_bytes - _IPV6_HEADER_END
            header[_IPV6_PAYLOAD : _IPV6_PAYLOAD + 2] = (after_header & 0xFFFF).to_bytes(2, "big")
        at = self.l4_start + tcp.CHECKSUM_OFFSET
        tcp_bytes = len(header) - self.l4_start
        less = 0xFFFF - fold(tcp_bytes + all_bytes)  # one's complement: adding it takes the old length away
        pseudo = fold(int.from_bytes(header[at : at + 2], "big") + less + tcp_bytes + part_bytes)
        header[at : at + 2] = pseudo.to_bytes(2, "big")

    def corrupted(self, byte: int, bit: int) -> WireFrame:
        """This frame, of one packet, with a bit wrong that its checksums tell of: `byte` counts from the
        IP header and wraps (an Ethernet's own check sum catches what goes wrong before)."""
        data = bytearray(self.data)
        if self.unfinished and self.l4_start:
            self._finish(data)
        data[ethernet.HEADER_BYTES + byte % (len(data) - ethernet.HEADER_BYTES)] ^= 1 << bit
        return WireFrame(data, self.header_bytes, self.l4_start, 0, False)

    def _finish(self, data: bytearray) -> None:
        """Fill in the TCP checksum."""
        at = self.l4_start + tcp.CHECKSUM_OFFSET
        data[at : at + 2] = bytes(2)
        version_4 = data[ethernet.HEADER_BYTES] >> 4 == 4
        total = partial_sum(bytes(data[_IPV4_ADDRESSES if version_4 else _IPV6_ADDRESSES]))
        segment = bytes(data[self.l4_start :])
        total += 6 + len(segment) + partial_sum(segment)
        data[at : at + 2] = (~fold(total) & 0xFFFF).to_bytes(2, "big")
