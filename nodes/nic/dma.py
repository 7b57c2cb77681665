"""The DMA engine: the only file that turns netmems into memory which a wire can fill or send.

In: netmems or fragments. Out: views, which the caller passes to the wire at once and does not keep. Owns
nothing; adds to the ledger what crossed the bus. One of the three places where payload is accessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nodes.machine import routes
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.machine.routes import Place
from nodes.netmem.netmem import Netmem
from nodes.skb import Frag, Frags
from nodes.wire import ethernet
from nodes.wire.checksum import fold, partial_sum, sum_of_views

_INTO: Final = {
    Place.HOST: routes.NIC_WIRE_TO_HOST,
    Place.DEVICE: routes.NIC_WIRE_TO_DEVICE,
    Place.FAR: routes.NIC_WIRE_TO_FAR,
}
_FROM: Final = {
    Place.HOST: routes.NIC_HOST_TO_WIRE,
    Place.DEVICE: routes.NIC_DEVICE_TO_WIRE,
    Place.FAR: routes.NIC_FAR_TO_WIRE,
}
_TYPE_IPV4: Final = ethernet.TYPE_IPV4.to_bytes(2, "big")
_HEADER_IN: Final = routes.NIC_HEADER_IN
_HEADER_OUT: Final = routes.NIC_HEADER_OUT


class Dma:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def views_to_fill(
        self, netmems: list[Netmem], length: int, header_bytes: int = 0, wire_packets: int = 1
    ) -> list[memoryview]:
        """Views over the first `length` bytes of `netmems`, in order, for the wire to write. The first
        `header_bytes` of them are headers, when header split is off."""
        views = []
        left = length
        for netmem in netmems:
            size = netmem.size if netmem.size < left else left
            views.append(netmem.region.view[netmem.offset : netmem.offset + size])
            left -= size
        self.ledger.record(_INTO[netmems[0].region.place], length - header_bytes)
        if header_bytes:
            self.ledger.record_header(_HEADER_IN, header_bytes, wire_packets)
        return views

    @staticmethod
    def views_to_send(frags: list[Frag]) -> list[memoryview]:
        """Views over the fragments, for the wire to read. When the wire has taken them, `sent` records it."""
        return [f.netmem.region.view[f.offset : f.offset + f.size] for f in frags]

    @staticmethod
    def header_view(region: Region, count: int) -> memoryview:
        """A view over the first `count` bytes of a header buffer, for the wire to write; `header` then reads
        it. The caller may keep it for the next header of that length."""
        return region.view[:count]

    def header(self, view: memoryview, wire_packets: int) -> bytes:
        """The header that the wire has written to `view`, in front of so many packets."""
        self.ledger.record_header(_HEADER_IN, len(view), wire_packets)
        return view.tobytes()

    def sent(self, header_bytes: int, wire_packets: int, payload: Frags | None) -> None:
        """The NIC has fetched a frame: its header from host memory, its payload from where it lies."""
        self.ledger.record_header(_HEADER_OUT, header_bytes, wire_packets)
        if payload is not None:
            self.ledger.record(_FROM[payload.frags[0].netmem.region.place], len(payload))

    @staticmethod
    def tcp_checksum_good(header: bytes, l4_start: int, payload: Sequence[memoryview]) -> bool:
        """Rx checksum offload: whether the TCP checksum of a frame is right. `header` begins with Ethernet,
        `l4_start` is where TCP begins in it, `payload` what follows."""
        l4 = header[l4_start:]
        payload_bytes = sum(len(view) for view in payload)
        ipv4 = header[12:14] == _TYPE_IPV4
        addresses = partial_sum(header[26:34] if ipv4 else header[22:54])
        total = addresses + 6 + len(l4) + payload_bytes + partial_sum(l4) + sum_of_views(payload)
        return fold(total) == 0xFFFF
