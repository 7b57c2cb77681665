"""The net device: the NIC as its driver sees it.

In: frames from a wire, skbs from the stack. Out: skbs whose headers lie in host memory and whose
payload lies in the chosen queue's buffers; frames. Owns queues, steering, RSS and their settings.
Source: struct net_device and its ethtool rings; validate_xmit_unreadable_skb (net/core/dev.c).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodes.kernel_version import DEFAULT, KernelVersion
from nodes.machine.ledger import Ledger
from nodes.machine.memory import Region
from nodes.netmem.binding import TxBinding
from nodes.netmem.memory_provider import HostPages
from nodes.netmem.page_pool import Napi, PagePool, PoolTrace
from nodes.nic import header_split
from nodes.nic.af_packet import Arriving, Departing
from nodes.nic.capture import Capture
from nodes.nic.dma import Dma
from nodes.nic.flow_steering import DROP, FlowSteering
from nodes.nic.header_split import Parsed
from nodes.nic.nic_model import GENERIC, NicModel
from nodes.nic.rss import Rss
from nodes.nic.rx_queue import RxQueue
from nodes.nic.tx_queue import TxQueue
from nodes.nic.wire_port import Wire
from nodes.skb import Frag, Frags, LinearFrags, Skb, frags_of
from nodes.uapi.socket import PAGE_SIZE
from nodes.wire import ethernet
from nodes.wire.tcp import CHECKSUM_OFFSET

_HEADER_BUFFER_BYTES = 128 << 10  # also holds frames that cannot be split, up to a whole IPv4 packet
_FLOW_CACHE_MAX = 65536
NAPI_ID_MIN = 8193  # to the kernel a smaller number is a CPU's (include/net/busy_poll.h)


class TcpDataSplit(enum.StrEnum):
    UNKNOWN = "unknown"
    DISABLED = "disabled"
    ENABLED = "enabled"


@dataclass(slots=True)
class Rings:
    """ethtool -g: buffers posted a queue, header split, and the size of a host rx buffer in bytes. Frames
    of `hds_thresh` bytes and fewer are not split."""

    rx: int = 512
    rx_max: int = 8192
    tcp_data_split: TcpDataSplit = TcpDataSplit.UNKNOWN
    hds_thresh: int = 0
    hds_thresh_max: int = 1023
    rx_buf_len: int = 4096


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Addresses and limits of one device. `max_frame_payload` is TSO's: TCP payload bytes a frame."""

    name: str
    ifindex: int
    mac: bytes
    mtu: int = 1500
    rx_queues: int = 8
    gso_max_bytes: int = 65536
    rx_buf_len: int = 4096
    host_memory_bytes: int = 256 << 20
    kernel: KernelVersion = DEFAULT
    nic: NicModel = GENERIC


class NetDevice:
    """`boottime`: seconds of CLOCK_BOOTTIME, asked when a page pool is detached. `trace` sees the page
    pools of the queues."""

    def __init__(
        self,
        config: DeviceConfig,
        wire: Wire,
        ledger: Ledger,
        boottime: Callable[[], float] = float,
        trace: PoolTrace | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.ifindex = config.ifindex
        self.netmem_tx = config.nic.netmem_tx
        self.wire = wire
        rx_buf_len = max(config.rx_buf_len, PAGE_SIZE << (config.nic.pools.order or 0))
        self.rings = Rings(rx_buf_len=rx_buf_len)
        self.steering = FlowSteering()
        self.tso = True  # ethtool -K tso
        self.sg = True  # ethtool -K sg; without it there is no TSO either
        self.rss = Rss(config.rx_queues)
        self.rss_contexts: dict[int, Rss] = {}
        self.dma = Dma(ledger)
        self.tx = TxQueue(wire, self.dma)
        self.tx_unreadable_drops = 0
        self.rx_steering_drops = 0
        self._overruns = 0
        self._capture: Capture | None = None
        self.trace = trace
        self.napi = Napi()  # one CPU polls every queue
        self.first_napi_id = NAPI_ID_MIN  # queue 0's; a host gives each of its devices another
        self._host_pages = HostPages(rx_buf_len, config.host_memory_bytes)
        self._split = self._receive_split if config.nic.exact else self._receive_fixed_split
        self._linear_pool = PagePool(HostPages(PAGE_SIZE, config.host_memory_bytes), napi=self.napi)
        self.all_rx_queues = tuple(
            RxQueue(i, self.host_pool(), self.rings.rx) for i in range(config.rx_queues)
        )
        self.rx_queues = [*self.all_rx_queues]  # those in use, the first ones
        self.detached_pools: dict[PagePool, float] = {}  # and since when; some have drained
        self._boottime = boottime
        self._header = Region.anonymous(_HEADER_BUFFER_BYTES)
        self._queue_of_flow: dict[bytes, RxQueue] = {}

    def host_pool(self) -> PagePool:
        """A page pool of host pages: what a queue without a memory provider uses."""
        return PagePool(self._host_pages, trace=self.trace, napi=self.napi)

    def restart_queue(self, rxq: RxQueue, pool: PagePool) -> None:
        """Swap the memory of one queue; its old pool is remembered until it has drained."""
        self.detached_pools = {p: since for p, since in self.detached_pools.items() if p.inflight}
        old = rxq.pool
        rxq.restart(pool)
        if self.config.nic.resets_whole:
            self._reset()
        if old.inflight:
            self.detached_pools[old] = self._boottime()

    def _reset(self) -> None:
        """Every queue loses its posted buffers, and the device what the wire has brought."""
        for rxq in self.all_rx_queues:
            rxq.empty()
        while self.wire.peek() is not None:
            self.wire.drop()
            self.rx_queues[0].counters.rx_hw_drops += 1

    def use_rx_queues(self, count: int) -> None:
        """Use the first `count` queues, 1 to config.rx_queues; what was posted to the others is given back.
        A table that nobody has set spreads over them anew."""
        self.rx_queues = [*self.all_rx_queues[:count]]
        for rxq in self.all_rx_queues[count:]:
            self.restart_queue(rxq, self.host_pool())
        if not self.rss.configured:
            self.rss.set_equal(count)
        self.steering_changed()

    @property
    def tx_queue_count(self) -> int:
        """One CPU sends, so all goes out by the first, as XPS has it; the others exist and are idle."""
        return len(self.rx_queues) if self.config.nic.combined else 1

    def overruns(self) -> int:
        """Frames lost so far because the FIFO before the rx queues was full."""
        self._overruns += self.wire.overruns()
        return self._overruns

    def capture(self, capture: Capture) -> None:
        """Show `capture` every packet from now on."""
        self._capture = self.tx.capture = capture

    def steering_changed(self) -> None:
        """Rules, table or channels changed: choose the queue of every flow afresh."""
        self._queue_of_flow.clear()

    # --- receive

    def poll(self, budget: int) -> Iterator[Skb]:
        """Up to `budget` packets. A skb's header is valid until the next one is asked for. What is released
        meanwhile is released in softirq: to the caches of the page pools."""
        self.napi.polling = True
        try:
            for _ in range(budget):
                arriving = self.wire.peek()
                if arriving is None:
                    return
                parsed = header_split.parse(arriving.first, arriving.length)
                rxq = self._queue_of_flow.get(parsed.flow) or self._choose_queue(parsed.flow)
                if rxq is None:
                    self.wire.drop()
                    self.rx_steering_drops += 1
                    continue
                skb = self._receive(arriving, parsed, rxq)
                if skb is None:
                    continue
                if self._capture is not None:
                    self._capture.received(skb)
                yield skb
        finally:
            self.napi.polling = False

    def queue_of(self, flow: bytes) -> RxQueue | None:
        """Where packets of `flow` (see header_split) go; None: a rule discards them."""
        return self._queue_of_flow.get(flow) or self._choose_queue(flow)

    def _choose_queue(self, flow: bytes) -> RxQueue | None:
        rule = self.steering.match(flow)
        if rule is None:
            chosen = self.rss.queue(flow)
        else:
            chosen = self.rss_contexts[rule.context].queue(flow) if rule.context else rule.queue
        if chosen == DROP:
            return None
        rxq = self.rx_queues[chosen]
        if len(self._queue_of_flow) >= _FLOW_CACHE_MAX:
            self._queue_of_flow.clear()
        self._queue_of_flow[flow] = rxq
        return rxq

    def _receive(self, arriving: Arriving, parsed: Parsed, rxq: RxQueue) -> Skb | None:
        payload_bytes = parsed.frame_bytes - parsed.header_bytes
        gso_size = arriving.gso_size
        wire_packets = -(-payload_bytes // gso_size) if gso_size else 1
        if parsed.header_bytes == 0 or payload_bytes == 0:
            skb = self._receive_linear(arriving, parsed, rxq)
        elif (
            self.rings.tcp_data_split is TcpDataSplit.ENABLED and parsed.frame_bytes > self.rings.hds_thresh
        ):
            if parsed.header_bytes <= self.config.nic.header_buffer_bytes:
                skb = self._split(arriving, parsed, rxq, wire_packets)
            else:
                skb = self._receive_linear(arriving, parsed, rxq)
        else:
            skb = self._receive_whole(arriving, parsed, rxq, wire_packets)
        if skb is None:
            rxq.counters.rx_hw_drops += 1
            return None
        skb.gso_size = gso_size
        skb.wire_packets = wire_packets
        counters = rxq.counters
        counters.rx_packets += 1
        counters.rx_bytes += arriving.length
        counters.rx_wire_packets += wire_packets
        if wire_packets > 1:
            counters.rx_hw_gro_packets += 1
            counters.rx_hw_gro_bytes += arriving.length
            counters.rx_hw_gro_wire_packets += wire_packets
            counters.rx_hw_gro_wire_bytes += arriving.length + (wire_packets - 1) * parsed.header_bytes
        return skb

    def _receive_linear(self, arriving: Arriving, parsed: Parsed, rxq: RxQueue) -> Skb | None:
        """Headers only, or a frame that cannot be split: host memory, whole."""
        split = parsed.header_bytes == parsed.frame_bytes
        if not split and self.rings.tcp_data_split is TcpDataSplit.ENABLED:
            rxq.hsplit.rx_hsplit_pkt += 1
            rxq.hsplit.rx_hsplit_unsplit_pkt += 1
        unwanted = not split and self.config.nic.drops_unsplit and rxq.pool.provider.dmabuf_id
        if unwanted or parsed.frame_bytes > self._header.size:
            self.wire.drop()
            return None
        header = self.dma.header_view(self._header, parsed.frame_bytes, 1)
        self.wire.receive([header])
        skb = Skb(header, None, rxq.id)
        if parsed.header_bytes:
            return self._checked(skb, arriving, parsed, rxq, [])
        rxq.counters.rx_csum_none += not arriving.checksum_good
        skb.checksum_good = arriving.checksum_good  # what the NIC cannot parse, it cannot verify
        return skb

    def _receive_split(
        self, arriving: Arriving, parsed: Parsed, rxq: RxQueue, wire_packets: int
    ) -> Skb | None:
        """Headers to the header buffer, payload to the queue's buffers, parted exactly."""
        payload_bytes = parsed.frame_bytes - parsed.header_bytes
        netmems = rxq.take(payload_bytes)
        if netmems is None:
            self.wire.drop()
            return None
        header = self.dma.header_view(self._header, parsed.header_bytes, wire_packets)
        views = self.dma.views_to_fill(netmems, payload_bytes)
        self.wire.receive([header, *views])
        hsplit = rxq.hsplit
        hsplit.rx_hsplit_pkt += 1
        hsplit.rx_hsplit_bytes += parsed.header_bytes
        skb = Skb(header, frags_of(netmems, payload_bytes), rxq.id)
        return self._checked(skb, arriving, parsed, rxq, views)

    def _receive_fixed_split(
        self, arriving: Arriving, parsed: Parsed, rxq: RxQueue, wire_packets: int
    ) -> Skb | None:
        """The header buffer is filled, with payload behind the headers; the rest to the queue's buffers."""
        linear_bytes = self.config.nic.header_buffer_bytes - parsed.header_bytes
        rest = parsed.frame_bytes - self.config.nic.header_buffer_bytes
        if not linear_bytes:
            return self._receive_split(arriving, parsed, rxq, wire_packets)
        if rest <= 0:
            return self._receive_linear(arriving, parsed, rxq)
        page = self._linear_pool.alloc_netmem()
        netmems = rxq.take(rest) if page is not None else None
        if page is None or netmems is None:
            if page is not None:
                page.put()
            self.wire.drop()
            return None
        header = self.dma.header_view(self._header, parsed.header_bytes, wire_packets)
        views = self.dma.views_to_fill([page], linear_bytes) + self.dma.views_to_fill(netmems, rest)
        self.wire.receive([header, *views])
        linear = Frag(page, page.offset, linear_bytes)
        skb = Skb(header, LinearFrags([linear, *frags_of(netmems, rest).frags]), rxq.id)
        return self._checked(skb, arriving, parsed, rxq, views)

    def _receive_whole(
        self, arriving: Arriving, parsed: Parsed, rxq: RxQueue, wire_packets: int
    ) -> Skb | None:
        """Header split is off: headers and payload follow each other in the queue's host pages."""
        netmems = rxq.take(parsed.frame_bytes)
        if netmems is None:
            self.wire.drop()
            return None
        split = parsed.header_bytes
        views = self.dma.views_to_fill(netmems, parsed.frame_bytes, split, wire_packets)
        self.wire.receive(views)
        header, views[0] = views[0][:split], views[0][split:]
        frags = frags_of(netmems, parsed.frame_bytes).frags
        frags[0] = Frag(netmems[0], netmems[0].offset + split, frags[0].size - split)
        return self._checked(Skb(header, Frags(frags), rxq.id), arriving, parsed, rxq, views)

    def _checked(
        self, skb: Skb, arriving: Arriving, parsed: Parsed, rxq: RxQueue, views: list[memoryview]
    ) -> Skb | None:
        """Rx checksum offload: what no one vouches for is verified in the NIC."""
        if arriving.checksum_good or self.dma.tcp_checksum_good(skb.header, parsed.l4_start, views):
            return skb
        rxq.counters.rx_csum_bad += 1
        skb.release()
        return None

    # --- send

    def xmit(self, skb: Skb, l4_start: int) -> None:
        """Send an skb that owns its payload. `l4_start` > 0: TCP begins there, the NIC fills in its
        checksum and cuts it by gso_size. Unreadable payload of another device's binding, or on a device
        without netmem_tx, or to be copied for want of scatter-gather, is dropped in silence and counted, as
        the kernel does: sendmsg had succeeded."""
        if skb.payload is not None and skb.payload.unreadable and not self._may_send(skb.payload):
            self.tx_unreadable_drops += 1
            skb.release()
            return
        how = Departing()
        if l4_start:
            ipv6 = skb.header[ethernet.HEADER_BYTES] >> 4 == 6
            how = Departing(len(skb.header), skb.gso_size, l4_start, CHECKSUM_OFFSET, ipv6)
        self.tx.xmit(skb, how)

    def _may_send(self, payload: Frags) -> bool:
        owner = payload.frags[0].netmem.owner
        elsewhere = isinstance(owner, TxBinding) and owner.ifindex != self.ifindex
        return self.netmem_tx and self.sg and not elsewhere

    def close(self) -> None:
        """Stop every queue; the pools drain as their netmems come back."""
        self._linear_pool.destroy()
        for rxq in self.all_rx_queues:
            rxq.restart(self.host_pool())
