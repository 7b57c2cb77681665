"""A capture of what crosses between the stack and the NIC, as tcpdump on the host would see it: pcapng.

In: received and sent skbs, `now`. Out: blocks, written to a file that the endpoint opened. Owns nothing. A
payload in device memory is not readable, so such a packet is snapped to its headers, as AF_PACKET does
(packet_rcv and tpacket_rcv, net/packet/af_packet.c); others are whole up to SNAPLEN. Super-packets appear as
the stack handles them, before TSO and after coalescing. The bytes a capture reads are not in the ledger:
what is measured stays what it would be without it. Format: draft-ietf-opsawg-pcapng; a library was not used
because dpkt's writer cannot say that a packet was longer than what is stored of it.
"""

from __future__ import annotations

import itertools
import struct
from typing import BinaryIO

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


class Capture:
    """`epoch`: seconds to add to the loop's clock for the time of day. Calls only `file.write`."""

    def __init__(self, file: BinaryIO, ifname: str, epoch: float, dma: Dma) -> None:
        self._write = file.write
        self._epoch = epoch
        self._dma = dma
        self._stamp = bytes(8)
        options = _option(_OPTION_IF_NAME, ifname.encode()) + _option(_OPTION_IF_TSRESOL, _NANOSECONDS)
        self._write(_block(_SECTION, struct.pack("=IHHq", _BYTE_ORDER, *_VERSION, _UNKNOWN_LENGTH)))
        interface = struct.pack("=HHI", _LINKTYPE_ETHERNET, 0, SNAPLEN) + options + _END_OF_OPTIONS
        self._write(_block(_INTERFACE, interface))

    def advance(self, now: float) -> None:
        """What comes next happens at `now`."""
        nanoseconds = int((self._epoch + now) * 1e9)
        self._stamp = struct.pack("=II", nanoseconds >> 32, nanoseconds & 0xFFFFFFFF)

    def received(self, skb: Skb) -> None:
        self._packet(skb, _INBOUND)

    def sent(self, skb: Skb) -> None:
        self._packet(skb, _OUTBOUND)

    def _packet(self, skb: Skb, direction: int) -> None:
        parts = [bytes(skb.header)]
        length = len(skb.header)
        if skb.payload is not None:
            length += len(skb.payload)
            readable = itertools.takewhile(lambda frag: not frag.netmem.is_net_iov, skb.payload.frags)
            parts += [bytes(view) for view in self._dma.views_to_send(readable)]
        data = b"".join(parts)[:SNAPLEN]
        options = _option(_OPTION_EPB_FLAGS, struct.pack("=I", direction)) + _END_OF_OPTIONS
        lengths = struct.pack("=II", len(data), length)
        self._write(_block(_PACKET, bytes(4) + self._stamp + lengths + _padded(data) + options))
