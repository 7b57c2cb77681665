"""Where a NIC places a received frame: headers in host memory, payload in the buffers of the rx queue.

In: a frame that waits on the wire, what the parser found in it, its rx queue. Out: an skb, or None for a
frame that was dropped. Owns the header buffer, which each frame overwrites.

A frame is placed in one of four ways:
- split: headers to the header buffer, payload to the queue's buffers, which may be device memory;
- fixed split: the NIC cuts after a fixed number of bytes, wherever the headers end; the payload in front of
  the cut goes to a host page, the rest to the queue's buffers;
- whole: header split is off, headers and payload follow each other in the queue's host pages;
- linear: headers without payload, and frames that cannot be split, to the header buffer.

Source: Documentation/networking/devmem.rst (what header split has to do), gve_rx_dqo() of
drivers/net/ethernet/google/gve/gve_rx_dqo.c, the jumbo placement of drivers/net/ethernet/broadcom/bnxt.
"""

from __future__ import annotations

from typing import Final

from nodes.machine.memory import Region
from nodes.netmem.page_pool import PagePool
from nodes.nic.dma import Dma
from nodes.nic.header_split import Parsed
from nodes.nic.nic_model import NicModel
from nodes.nic.rings import Rings, TcpDataSplit
from nodes.nic.rx_queue import RxQueue
from nodes.nic.wire_port import RxFrame, Wire
from nodes.skb import Frag, Frags, LinearFrags, Skb, frags_of
from nodes.uapi.socket import PAGE_SIZE

LINEAR_MAX: Final = 128 << 10  # bytes of a frame that the header buffer holds: any IPv4 packet but BIG TCP
_SPLIT: Final = TcpDataSplit.ENABLED


class RxPlacement:
    """`linear_pool` has host pages for the payload that a fixed split leaves behind the headers."""

    def __init__(self, wire: Wire, dma: Dma, nic: NicModel, rings: Rings, linear_pool: PagePool) -> None:
        self._wire = wire
        self._dma = dma
        self._drops_unsplit = nic.drops_unsplit
        self._header_buffer_bytes = nic.header_buffer_bytes
        self._exact = nic.exact
        self._rings = rings
        self._linear_pool = linear_pool
        self.header_buffer = Region.anonymous(PAGE_SIZE)  # room for headers; `_grow` extends it
        self._header_view = dma.header_view(self.header_buffer, 0)  # over the last header
        self.csum_bad = 0  # frames with a wrong TCP checksum since `take_csum_bad`

    def receive(self, frame: RxFrame, parsed: Parsed, rxq: RxQueue) -> Skb | None:
        """Take the peeked frame off the wire and place it, counting it in `rxq`. None: it was dropped,
        because no buffer was posted, or its checksum is wrong, or it cannot be split and the NIC does not
        want it or has no room for it."""
        payload_bytes = parsed.frame_bytes - parsed.header_bytes
        gso_size = frame.gso_size
        wire_packets = -(-payload_bytes // gso_size) if gso_size else 1
        if parsed.header_bytes == 0 or payload_bytes == 0:
            skb = self._linear(frame, parsed, rxq)
        elif self._rings.tcp_data_split is _SPLIT and parsed.frame_bytes > self._rings.hds_thresh:
            if parsed.header_bytes > self._header_buffer_bytes:
                skb = self._linear(frame, parsed, rxq)
            elif self._exact:
                skb = self._split(frame, parsed, rxq, wire_packets)
            else:
                skb = self._fixed_split(frame, parsed, rxq, wire_packets)
        else:
            skb = self._whole(frame, parsed, rxq, wire_packets)
        if skb is None:
            rxq.counters.rx_hw_drops += 1
            return None
        skb.gso_size = gso_size
        skb.wire_packets = wire_packets
        skb.scarce = rxq.scarce and payload_bytes > 0
        rxq.count(frame.length, parsed.header_bytes, wire_packets)
        return skb

    def _linear(self, frame: RxFrame, parsed: Parsed, rxq: RxQueue) -> Skb | None:
        """The whole frame to the header buffer."""
        headers_only = parsed.header_bytes == parsed.frame_bytes
        if not headers_only and self._rings.tcp_data_split is _SPLIT:
            rxq.count_split(0)
            rxq.hsplit.rx_hsplit_unsplit_pkt += 1
        unwanted = not headers_only and self._drops_unsplit and rxq.pool.provider.dmabuf_id
        if unwanted or (
            parsed.frame_bytes > self.header_buffer.size and not self._grow(parsed.frame_bytes)
        ):
            self._wire.drop()
            return None
        view = self._header_room(parsed.frame_bytes)
        self._wire.receive([view])
        skb = Skb(self._dma.header(view, 1), None, rxq.id)
        if parsed.header_bytes:
            return self._checked(skb, frame, parsed, rxq, [])
        rxq.counters.rx_csum_none += not frame.checksum_good
        skb.checksum_good = frame.checksum_good  # the NIC cannot verify a frame that it cannot parse
        return skb

    def _grow(self, frame_bytes: int) -> bool:
        """Make the header buffer LINEAR_MAX bytes long, for the first frame that needs it. False:
        `frame_bytes` are more than that."""
        if frame_bytes > LINEAR_MAX:
            return False
        self.header_buffer.close()
        self.header_buffer = Region.anonymous(LINEAR_MAX)
        return True

    def _header_room(self, count: int) -> memoryview:
        """A view over the first `count` bytes of the header buffer: most headers are as long as the last."""
        if len(self._header_view) != count:
            self._header_view = self._dma.header_view(self.header_buffer, count)
        return self._header_view

    def _split(self, frame: RxFrame, parsed: Parsed, rxq: RxQueue, wire_packets: int) -> Skb | None:
        payload_bytes = parsed.frame_bytes - parsed.header_bytes
        netmems = rxq.take(payload_bytes)
        if netmems is None:
            self._wire.drop()
            return None
        header_view = self._header_room(parsed.header_bytes)
        views = self._dma.views_to_fill(netmems, payload_bytes)
        self._wire.receive([header_view, *views])
        rxq.count_split(parsed.header_bytes)
        header = self._dma.header(header_view, wire_packets)
        skb = Skb(header, frags_of(netmems, payload_bytes), rxq.id)
        return self._checked(skb, frame, parsed, rxq, views)

    def _fixed_split(self, frame: RxFrame, parsed: Parsed, rxq: RxQueue, wire_packets: int) -> Skb | None:
        """The first `header_buffer_bytes` of the frame to host memory, headers and the payload behind
        them; the rest of the payload to the queue's buffers."""
        linear_bytes = self._header_buffer_bytes - parsed.header_bytes
        rest = parsed.frame_bytes - self._header_buffer_bytes
        if not linear_bytes:
            return self._split(frame, parsed, rxq, wire_packets)
        if rest <= 0:
            return self._linear(frame, parsed, rxq)
        page = self._linear_pool.alloc_netmem()
        netmems = rxq.take(rest) if page is not None else None
        if page is None or netmems is None:
            if page is not None:
                page.put()
            self._wire.drop()
            return None
        header_view = self._header_room(parsed.header_bytes)
        views = self._dma.views_to_fill([page], linear_bytes) + self._dma.views_to_fill(netmems, rest)
        self._wire.receive([header_view, *views])
        header = self._dma.header(header_view, wire_packets)
        linear = Frag(page, page.offset, linear_bytes)
        skb = Skb(header, LinearFrags([linear, *frags_of(netmems, rest).frags]), rxq.id)
        return self._checked(skb, frame, parsed, rxq, views)

    def _whole(self, frame: RxFrame, parsed: Parsed, rxq: RxQueue, wire_packets: int) -> Skb | None:
        netmems = rxq.take(parsed.frame_bytes)
        if netmems is None:
            self._wire.drop()
            return None
        split = parsed.header_bytes
        views = self._dma.views_to_fill(netmems, parsed.frame_bytes, split, wire_packets)
        self._wire.receive(views)
        header, views[0] = views[0][:split].tobytes(), views[0][split:]
        frags = frags_of(netmems, parsed.frame_bytes).frags
        frags[0] = Frag(netmems[0], netmems[0].offset + split, frags[0].size - split)
        return self._checked(Skb(header, Frags(frags), rxq.id), frame, parsed, rxq, views)

    def _checked(
        self, skb: Skb, frame: RxFrame, parsed: Parsed, rxq: RxQueue, views: list[memoryview]
    ) -> Skb | None:
        """Rx checksum offload: verify the TCP checksum unless the link has. None: it is wrong."""
        if frame.checksum_good or self._dma.tcp_checksum_good(skb.header, parsed.l4_start, views):
            return skb
        rxq.counters.rx_csum_bad += 1
        self.csum_bad += 1
        skb.release()
        return None

    def take_csum_bad(self) -> int:
        """How many frames were dropped for a wrong TCP checksum since the last call."""
        count, self.csum_bad = self.csum_bad, 0
        return count

    def close(self) -> None:
        """Give up the linear pool, which drains as its pages come back."""
        self._linear_pool.destroy()
