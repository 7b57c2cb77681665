"""A capture of what crosses between the stack and the NICs of a host, as tcpdump would write it: pcapng.

In: received and sent skbs, `now`. Out: blocks, one `write` each to a file that the caller opened and closes.
Owns the numbers of the interfaces in the file. Payload in device memory is not readable: such a packet is cut
after its headers, as AF_PACKET does (packet_rcv and tpacket_rcv, net/packet/af_packet.c). Other packets are
whole, up to SNAPLEN. Super-packets appear as the stack handles them, before TSO and after coalescing. The
ledger does not count the bytes that a capture reads, so that a capture does not change what is measured.
Format: draft-ietf-opsawg-pcapng. No library writes it: dpkt cannot say that a packet was longer than the
bytes stored of it.
"""

from __future__ import annotations

import itertools
import struct
from typing import Protocol

from nodes.nic.dma import Dma
from nodes.skb import Skb

SNAPLEN = 65536

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER, _VERSION, _UNKNOWN_LENGTH = 0x1A2B3C4D, (1, 0), -1
_LINKTYPE_ETHERNET = 1
_OPTION_IF_NAME, _OPTION_IF_TSRESOL, _OPTION_EPB_FLAGS = 2, 9, 2
_NANOSECONDS = b"\x09"
_INBOUND, _OUTBOUND = 1, 2
_END_OF_OPTIONS = bytes(4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + _padded(value)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("=II", kind, length) + body + struct.pack("=I", length)


class CaptureFile(Protocol):
    """Where blocks go. A file that cannot be written keeps that to itself."""

    def write(self, block: bytes, /) -> object: ...


class Capture:
    """One file for all interfaces of a host. `epoch`: seconds to add to `now` for the time of day."""

    def __init__(self, file: CaptureFile, epoch: float) -> None:
        self.write = file.write
        self.timestamp = bytes(8)  # of the packets that follow
        self._epoch = epoch
        self._interfaces = 0
        self.write(_block(_SECTION, struct.pack("=IHHq", _BYTE_ORDER, *_VERSION, _UNKNOWN_LENGTH)))

    def add_interface(self, ifname: str, dma: Dma) -> InterfaceCapture:
        """Describe an interface in the file; the result takes its packets. `dma` reads their payload."""
        options = _option(_OPTION_IF_NAME, ifname.encode()) + _option(_OPTION_IF_TSRESOL, _NANOSECONDS)
        interface = struct.pack("=HHI", _LINKTYPE_ETHERNET, 0, SNAPLEN) + options + _END_OF_OPTIONS
        self.write(_block(_INTERFACE, interface))
        self._interfaces += 1
        return InterfaceCapture(self, self._interfaces - 1, dma)

    def advance(self, now: float) -> None:
        """The packets that follow cross at `now`."""
        nanoseconds = int((self._epoch + now) * 1e9)
        self.timestamp = struct.pack("=II", nanoseconds >> 32, nanoseconds & 0xFFFFFFFF)


class InterfaceCapture:
    """Writes the packets of one interface to the file of `capture`. `number`: of the interface in it."""

    def __init__(self, capture: Capture, number: int, dma: Dma) -> None:
        self._capture = capture
        self._number = struct.pack("=I", number)
        self._dma = dma

    def received(self, skb: Skb) -> None:
        self._packet(skb, _INBOUND)

    def sent(self, skb: Skb) -> None:
        self._packet(skb, _OUTBOUND)

    def _packet(self, skb: Skb, direction: int) -> None:
        parts = [skb.header]
        length = len(skb.header)
        if skb.payload is not None:
            length += len(skb.payload)
            readable = itertools.takewhile(lambda frag: not frag.netmem.is_net_iov, skb.payload.frags)
            parts += [bytes(view) for view in self._dma.views_to_send([*readable])]
        data = b"".join(parts)[:SNAPLEN]
        options = _option(_OPTION_EPB_FLAGS, struct.pack("=I", direction)) + _END_OF_OPTIONS
        prefix = self._number + self._capture.timestamp + struct.pack("=II", len(data), length)
        self._capture.write(_block(_PACKET, prefix + _padded(data) + options))
