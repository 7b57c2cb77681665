"""The tx ring of a device: frames that wait until the wire can take them, in order.

In: skbs whose headers are complete. Out: frames on the wire. Owns the skbs that wait; their payload is
released when the NIC has fetched it. While the ring is full it is `stopped`: the stack asks TCP for no more
segments until the wire is writable again (netif_tx_stop_queue, netif_tx_wake_queue).
"""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec

from nodes.nic.capture import InterfaceCapture
from nodes.nic.dma import Dma
from nodes.nic.wire_port import TxOffload, Wire
from nodes.skb import Skb


class TxCounters(msgspec.Struct):
    """netdev.yaml's qstats of the tx queue."""

    tx_packets: Annotated[int, "packets", "packets sent, a super-packet as one"] = 0
    tx_bytes: Annotated[int, "B", "bytes of these frames, a super-packet with one header"] = 0
    tx_hw_drops: Annotated[
        int, "packets",
        "packets lost on the way out: the device or its link was down, or the link refused the frame",
    ] = 0
    tx_csum_none: Annotated[int, "packets", "packets that the NIC was not asked to compute a checksum of"] = 0
    tx_hw_gso_packets: Annotated[int, "packets", "super-packets sent"] = 0
    tx_hw_gso_bytes: Annotated[int, "B", "bytes of these, with one header each"] = 0
    tx_hw_gso_wire_packets: Annotated[int, "packets", "wire packets that they were cut into"] = 0
    tx_hw_gso_wire_bytes: Annotated[int, "B", "bytes of these, with a header each"] = 0
    tx_wire_packets: Annotated[
        int, "packets", "wire packets sent, those that super-packets were cut into each"
    ] = 0
    tx_stop: Annotated[int, "times", "how often the wire was busy and a packet had to wait"] = 0
    tx_wake: Annotated[int, "times", "how often all that waited had been sent"] = 0


class TxQueue:
    def __init__(self, wire: Wire, dma: Dma) -> None:
        self.counters = TxCounters()
        self.ring_size = 1  # how many packets may wait before the stack is stopped
        self.capture: InterfaceCapture | None = None
        self._wire = wire
        self._dma = dma
        self._waiting: deque[tuple[Skb, TxOffload]] = deque()

    @property
    def waiting(self) -> int:
        """How many packets wait for the wire."""
        return len(self._waiting)

    @property
    def stopped(self) -> bool:
        return len(self._waiting) >= self.ring_size

    def xmit(self, skb: Skb, offload: TxOffload) -> None:
        """Send the packet, or queue it if the wire is busy or others wait."""
        if self._waiting or not self._send(skb, offload):
            self.counters.tx_stop += not self._waiting
            self._waiting.append((skb, offload))

    def empty(self) -> None:
        """The packets that wait are lost."""
        for skb, _ in self._waiting:
            skb.release()
        self.counters.tx_hw_drops += len(self._waiting)
        self._waiting.clear()

    def kick(self) -> None:
        """The wire is writable again: send the packets that wait."""
        while self._waiting and self._send(*self._waiting[0]):
            self._waiting.popleft()
            self.counters.tx_wake += not self._waiting

    def _send(self, skb: Skb, offload: TxOffload) -> bool:
        payload = self._dma.views_to_send(skb.payload.frags) if skb.payload is not None else []
        counters = self.counters
        try:
            if not self._wire.send(bytes(skb.header), payload, offload):
                return False
        except OSError:  # the link is down or refuses the frame: it is lost, as on an unplugged cable
            counters.tx_hw_drops += 1
        else:
            header_bytes, wire_packets = len(skb.header), skb.wire_packets
            frame_bytes = header_bytes + (len(skb.payload) if skb.payload is not None else 0)
            self._dma.sent(header_bytes, wire_packets, skb.payload)
            counters.tx_packets += 1
            counters.tx_bytes += frame_bytes
            counters.tx_wire_packets += wire_packets
            if wire_packets > 1:
                counters.tx_hw_gso_packets += 1
                counters.tx_hw_gso_bytes += frame_bytes
                counters.tx_hw_gso_wire_packets += wire_packets
                counters.tx_hw_gso_wire_bytes += frame_bytes + (wire_packets - 1) * header_bytes
            elif not offload.csum_start:
                counters.tx_csum_none += 1
            if self.capture is not None:
                self.capture.sent(skb)
        skb.release()
        return True
