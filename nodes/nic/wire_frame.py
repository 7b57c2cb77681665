"""One frame of the wire and the wire packets it stands for: what a NIC's segmentation would make of it.

In: a whole frame, and how many payload bytes each of its packets carries. Out: any run of its packets as a
frame of its own, its headers set right; a packet with one bit wrong. Owns the frame's bytes. Source: the
rules of net/ipv4/tcp_offload.c for sequence numbers and flags; RFC 791, 8200 and 9293 for the fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.wire import ethernet, ip, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum

_IPV4_TOTAL, _IPV4_ID, _IPV4_CHECKSUM = ethernet.HEADER_BYTES + 2, ethernet.HEADER_BYTES + 4, 24
_IPV4_ADDRESSES, _IPV6_ADDRESSES = slice(26, 34), slice(22, 54)
_IPV6_PAYLOAD, _IPV6_NEXT, _IPV6_END = (ethernet.HEADER_BYTES + at for at in (4, 6, 40))


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
    def ipv6(self) -> bool:
        return self.data[ethernet.HEADER_BYTES] >> 4 == 6

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
        at = self._set_ipv6(header, len(part)) if self.ipv6 else self._set_ipv4(header, start, len(part))
        self._set_pseudo_header_sum(header, at, len(payload), len(part))
        sequence = int.from_bytes(header[at + 4 : at + 8], "big") + start * self.gso_size
        header[at + 4 : at + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
        if stop < last:
            header[at + 13] &= ~(tcp.FIN | tcp.PSH) & 0xFF
        if start > 0:
            header[at + 13] &= ~tcp.CWR & 0xFF
        gso_size = self.gso_size if stop - start > 1 else 0
        return WireFrame(bytes(header) + part, len(header), at, gso_size, self.unfinished)

    def _set_ipv4(self, header: bytearray, start: int, part_bytes: int) -> int:
        """Length, identification and checksum; returns where TCP starts."""
        total = len(header) - ethernet.HEADER_BYTES + part_bytes
        header[_IPV4_TOTAL : _IPV4_TOTAL + 2] = (total if total <= 0xFFFF else 0).to_bytes(2, "big")
        number = int.from_bytes(header[_IPV4_ID : _IPV4_ID + 2], "big") + start
        header[_IPV4_ID : _IPV4_ID + 2] = (number & 0xFFFF).to_bytes(2, "big")
        header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = bytes(2)
        checksum = internet_checksum(bytes(header[ethernet.HEADER_BYTES : self.l4_start]))
        header[_IPV4_CHECKSUM : _IPV4_CHECKSUM + 2] = checksum.to_bytes(2, "big")
        return self.l4_start

    def _set_ipv6(self, header: bytearray, part_bytes: int) -> int:
        """Length, and no jumbo header where none is needed; returns where TCP starts."""
        at, length = self.l4_start, len(header) - _IPV6_END + part_bytes
        jumbo_bytes = 0 if any(header[_IPV6_PAYLOAD : _IPV6_PAYLOAD + 2]) else at - _IPV6_END
        if jumbo_bytes and length > 0xFFFF:
            middle = _IPV6_END + jumbo_bytes // 2  # where both forms of the header have it
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
        """What stands where the NIC will put the TCP checksum goes with the length."""
        at, tcp_bytes = l4_start + tcp.CHECKSUM_OFFSET, len(header) - l4_start
        less = 0xFFFF - fold(tcp_bytes + old_bytes)  # one's complement: adding it takes the old length away
        pseudo = fold(int.from_bytes(header[at : at + 2], "big") + less + tcp_bytes + new_bytes)
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
        total = partial_sum(bytes(data[_IPV6_ADDRESSES if self.ipv6 else _IPV4_ADDRESSES]))
        segment = bytes(data[self.l4_start :])
        total += 6 + len(segment) + partial_sum(segment)
        data[at : at + 2] = (~fold(total) & 0xFFFF).to_bytes(2, "big")
