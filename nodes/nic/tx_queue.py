"""The tx ring of a device: frames that wait until the wire can take them, in order.

In: skbs whose headers are complete. Out: frames on the wire. Owns the skbs that wait; their payload is
released when the NIC has fetched it. While the ring is full it is `stopped`: the stack asks TCP for no more
segments until the wire is writable again (netif_tx_stop_queue, netif_tx_wake_queue).
"""

from __future__ import annotations

from collections import deque

from nodes.nic.capture import InterfaceCapture
from nodes.nic.counters import TxCounters
from nodes.nic.dma import Dma
from nodes.nic.wire_port import TxOffload, Wire
from nodes.skb import Skb
from nodes.wire import ethernet
from nodes.wire.tcp import CHECKSUM_OFFSET


class TxQueue:
    def __init__(self, wire: Wire, dma: Dma) -> None:
        self.hw_drops = 0  # packets lost before they reached the wire
        self.ring_size = 1  # how many packets may wait before the stack is stopped
        self.capture: InterfaceCapture | None = None
        self._wire = wire
        self._dma = dma
        self._waiting: deque[tuple[Skb, TxOffload]] = deque()
        self._tso = self._csum = TxOffload()  # what the last super-packet and the last packet asked for
        # What `counters` tells. Plain numbers, which compiled code adds to at no cost; `plain` are packets
        # that are no super-packets, and bytes are those of frames.
        self._packets = self._bytes = self._plain = self._csum_none = self._stops = self._wakes = 0
        self._gso_wire_packets = self._gso_bytes = self._gso_wire_bytes = 0

    @property
    def counters(self) -> TxCounters:
        """What the queue has done so far."""
        return TxCounters(
            tx_packets=self._packets,
            tx_bytes=self._bytes,
            tx_hw_drops=self.hw_drops,
            tx_csum_none=self._csum_none,
            tx_hw_gso_packets=self._packets - self._plain,
            tx_hw_gso_bytes=self._gso_bytes,
            tx_hw_gso_wire_packets=self._gso_wire_packets,
            tx_hw_gso_wire_bytes=self._gso_wire_bytes,
            tx_wire_packets=self._plain + self._gso_wire_packets,
            tx_stop=self._stops,
            tx_wake=self._wakes,
        )

    @property
    def waiting(self) -> int:
        """How many packets wait for the wire."""
        return len(self._waiting)

    @property
    def sent(self) -> int:
        """How many packets the wire has taken so far."""
        return self._packets

    @property
    def stopped(self) -> bool:
        return len(self._waiting) >= self.ring_size

    def xmit(self, skb: Skb, l4_start: int) -> None:
        """Send the packet, or queue it if the wire is busy or others wait. `l4_start`: as NetDevice.xmit."""
        offload = self._offload(skb, l4_start) if l4_start else TxOffload()
        if self._waiting or not self._send(skb, offload):
            self._stops += not self._waiting
            self._waiting.append((skb, offload))

    def _offload(self, skb: Skb, l4_start: int) -> TxOffload:
        """The last one again, if it says the same: so it is for the packets of a stream, and a wire that gets
        the same record need not encode it again."""
        header_bytes, gso_size = len(skb.header), skb.gso_size
        ipv6 = skb.header[ethernet.HEADER_BYTES] >> 4 == 6
        last = self._tso if gso_size else self._csum
        if (
            last.header_bytes == header_bytes
            and last.gso_size == gso_size
            and last.csum_start == l4_start
            and last.ipv6 == ipv6
        ):
            return last
        offload = TxOffload(header_bytes, gso_size, l4_start, CHECKSUM_OFFSET, ipv6)
        if gso_size:
            self._tso = offload
        else:
            self._csum = offload
        return offload

    def empty(self) -> None:
        """The packets that wait are lost."""
        for skb, _ in self._waiting:
            skb.release()
        self.hw_drops += len(self._waiting)
        self._waiting.clear()

    def kick(self) -> None:
        """The wire is writable again: send the packets that wait."""
        while self._waiting and self._send(*self._waiting[0]):
            self._waiting.popleft()
            self._wakes += not self._waiting

    def _send(self, skb: Skb, offload: TxOffload) -> bool:
        payload = skb.payload
        views = self._dma.views_to_send(payload.frags) if payload is not None else []
        try:
            if not self._wire.send(skb.header, views, offload):
                return False
        except OSError:  # the link is down or refuses the frame: it is lost, as on an unplugged cable
            self.hw_drops += 1
        else:
            header_bytes, wire_packets = len(skb.header), skb.wire_packets
            frame_bytes = header_bytes + (len(payload) if payload is not None else 0)
            self._dma.sent(header_bytes, wire_packets, payload)
            self._packets += 1
            self._bytes += frame_bytes
            if wire_packets > 1:
                self._gso_wire_packets += wire_packets
                self._gso_bytes += frame_bytes
                self._gso_wire_bytes += frame_bytes + (wire_packets - 1) * header_bytes
            else:
                self._plain += 1
                self._csum_none += not offload.csum_start
            if self.capture is not None:
                self.capture.sent(skb)
        skb.release()
        return True
