"""One frame of the wire and the wire packets that a NIC's segmentation (TSO) would make of it.

In: a whole frame, and how many payload bytes each of its packets has. Out: any range of its packets as a
frame of its own with correct headers; a packet with one wrong bit. Owns the bytes of the frame.
Source: net/ipv4/tcp_offload.c for sequence numbers and flags; RFC 791, 8200 and 9293 for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.wire import ethernet, ip, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum

_IPV4_TOTAL, _IPV4_ID, _IPV4_CHECKSUM = ethernet.HEADER_BYTES + 2, ethernet.HEADER_BYTES + 4, 24
_IPV4_ADDRESSES, _IPV6_ADDRESSES = slice(26, 34), slice(22, 54)
_IPV6_PAYLOAD, _IPV6_NEXT, _IPV6_END = (ethernet.HEADER_BYTES + at for at in (4, 6, 40))
_ECN = {  # where the two bits are, by EtherType: a byte of the frame, and how far to the left
    ethernet.TYPE_IPV4: (ethernet.HEADER_BYTES + 1, 0),
    ethernet.TYPE_IPV6: (ethernet.HEADER_BYTES + 1, 4),
}


@dataclass(frozen=True, slots=True)
class WireFrame:
    """`data`: the frame without padding. `l4_start`: where TCP begins; 0: the frame is not TCP, and is one
    packet. `gso_size`: payload bytes of each packet; 0: the frame is one packet. `checksum_partial`: the TCP
    checksum is left to the NIC, or the receiver need not verify it (CHECKSUM_PARTIAL)."""

    data: bytes | bytearray
    header_bytes: int
    l4_start: int
    gso_size: int
    checksum_partial: bool

    @property
    def ipv6(self) -> bool:
        return self.data[ethernet.HEADER_BYTES] >> 4 == 6

    @property
    def packets(self) -> int:
        """How many wire packets the frame stands for."""
        return -(-(len(self.data) - self.header_bytes) // self.gso_size) if self.gso_size else 1

    def slice(self, start: int, stop: int) -> WireFrame:
        """Packets [start, stop) as a frame."""
        last = self.packets
        if start == 0 and stop == last:
            return self
        payload = memoryview(self.data)[self.header_bytes :]
        part = payload[start * self.gso_size : stop * self.gso_size]
        header = bytearray(self.data[: self.header_bytes])
        at = self._set_ipv6(header, len(part)) if self.ipv6 else self._set_ipv4(header, start, len(part))
        self._set_pseudo_header_sum(header, at, len(payload), len(part))
        sequence = int.from_bytes(header[at + 4 : at + 8], "big") + start * self.gso_size
        header[at + 4 : at + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
        if stop < last:
            header[at + 13] &= ~(tcp.FIN | tcp.PSH) & 0xFF
        if start > 0:
            header[at + 13] &= ~tcp.CWR & 0xFF
        gso_size = self.gso_size if stop - start > 1 else 0
        return WireFrame(bytes(header) + part, len(header), at, gso_size, self.checksum_partial)

    def _set_ipv4(self, header: bytearray, start: int, part_bytes: int) -> int:
        """Set length, identification and header checksum; returns where TCP begins."""
        total = len(header) - ethernet.HEADER_BYTES + part_bytes
        header[_IPV4_TOTAL : _IPV4_TOTAL + 2] = (total if total <= 0xFFFF else 0).to_bytes(2, "big")
        number = int.from_bytes(header[_IPV4_ID : _IPV4_ID + 2], "big") + start
        header[_IPV4_ID : _IPV4_ID + 2] = (number & 0xFFFF).to_bytes(2, "big")
        header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = bytes(2)
        checksum = internet_checksum(bytes(header[ethernet.HEADER_BYTES : self.l4_start]))
        header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = checksum.to_bytes(2, "big")
        return self.l4_start

    def _set_ipv6(self, header: bytearray, part_bytes: int) -> int:
        """Set the length, and remove a jumbo header that is no longer needed; returns where TCP begins."""
        at, length = self.l4_start, len(header) - _IPV6_END + part_bytes
        jumbo_bytes = 0 if any(header[_IPV6_PAYLOAD : _IPV6_PAYLOAD + 2]) else at - _IPV6_END
        if jumbo_bytes and length > 0xFFFF:
            middle = _IPV6_END + jumbo_bytes // 2  # where the length is, in Linux's form and in ours
            header[middle : middle + 4] = length.to_bytes(4, "big")
            return at
        if jumbo_bytes:
            del header[_IPV6_END:at]
            header[_IPV6_NEXT] = ip.TCP
            at, length = _IPV6_END, length - jumbo_bytes
        header[_IPV6_PAYLOAD : _IPV6_PAYLOAD + 2] = length.to_bytes(2, "big")
        return at

    @staticmethod
    def _set_pseudo_header_sum(header: bytearray, l4_start: int, old_bytes: int, new_bytes: int) -> None:
        """Correct the length in the pseudo-header sum, which is in the checksum field (CHECKSUM_PARTIAL)."""
        at, tcp_bytes = l4_start + tcp.CHECKSUM_OFFSET, len(header) - l4_start
        minus_old = 0xFFFF - fold(tcp_bytes + old_bytes)  # adding the complement subtracts the old length
        pseudo = fold(int.from_bytes(header[at : at + 2], "big") + minus_old + tcp_bytes + new_bytes)
        header[at : at + 2] = pseudo.to_bytes(2, "big")

    def corrupted(self, byte: int, bit: int) -> WireFrame:
        """This frame, which is one packet, with one wrong bit that its checksums reveal. `byte` counts from
        the IP header, modulo the length. (Ethernet's own checksum protects the Ethernet header.)"""
        data = bytearray(self.data)
        if self.checksum_partial and self.l4_start:
            self._finish(data)
        data[ethernet.HEADER_BYTES + byte % (len(data) - ethernet.HEADER_BYTES)] ^= 1 << bit
        return WireFrame(data, self.header_bytes, self.l4_start, 0, False)

    def congestion_experienced(self) -> WireFrame:
        """This frame with CE, or unchanged if its sender is not capable of ECN (RFC 3168 section 5)."""
        ethertype = int.from_bytes(self.data[ethernet.HEADER_BYTES - 2 : ethernet.HEADER_BYTES], "big")
        at, shift = _ECN.get(ethertype, (0, 0))
        if not at or len(self.data) <= _IPV4_CHECKSUM + 2 or not self.data[at] >> shift & 3:
            return self
        data = bytearray(self.data)
        data[at] |= 3 << shift
        if ethertype == ethernet.TYPE_IPV4:
            data[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = bytes(2)
            ip_bytes = (data[ethernet.HEADER_BYTES] & 0xF) * 4
            header = bytes(data[ethernet.HEADER_BYTES : ethernet.HEADER_BYTES + ip_bytes])
            data[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = internet_checksum(header).to_bytes(2, "big")
        return WireFrame(data, self.header_bytes, self.l4_start, self.gso_size, self.checksum_partial)

    def _finish(self, data: bytearray) -> None:
        """Fill in the TCP checksum."""
        at = self.l4_start + tcp.CHECKSUM_OFFSET
        data[at : at + 2] = bytes(2)
        total = partial_sum(bytes(data[_IPV6_ADDRESSES if self.ipv6 else _IPV4_ADDRESSES]))
        segment = bytes(data[self.l4_start :])
        total += 6 + len(segment) + partial_sum(segment)
        data[at : at + 2] = (~fold(total) & 0xFFFF).to_bytes(2, "big")
