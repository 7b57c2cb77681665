"""The net device: a NIC as its driver and the stack see it. A host may have several.

In: frames from a wire, skbs from the stack. Out: skbs whose headers lie in host memory and whose payload lies
in the buffers of the chosen rx queue; frames. Owns the queues, steering, RSS, and their settings.
Source: struct net_device and its ethtool_ops; validate_xmit_unreadable_skb (net/core/dev.c).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from nodes.kernel_version import DEFAULT, KernelVersion
from nodes.machine.ledger import Ledger
from nodes.netmem.binding import TxBinding
from nodes.netmem.memory_provider import HostPages
from nodes.netmem.page_pool import NO_LIMIT, Napi, PagePool, PoolContext, PoolTrace
from nodes.nic import header_split
from nodes.nic.capture import InterfaceCapture
from nodes.nic.dma import Dma
from nodes.nic.flow_steering import DROP, FlowSteering
from nodes.nic.nic_model import GENERIC, NicModel
from nodes.nic.rings import Rings
from nodes.nic.rss import Rss
from nodes.nic.rx_overload import POLLS_IN_ONE, RxOverload
from nodes.nic.rx_placement import RxPlacement
from nodes.nic.rx_queue import RxQueue
from nodes.nic.tx_queue import TxQueue
from nodes.nic.wire_port import Wire
from nodes.skb import Frags, Skb
from nodes.uapi.socket import PAGE_SIZE

_FLOW_CACHE_MAX: Final = 65536
NAPI_ID_MIN: Final = 8193  # to the kernel a smaller number is a CPU's (include/net/busy_poll.h)


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Addresses and limits of one device. `ifindex`: unique within the host. `gso_max_bytes`: of the longest
    frame that is sent. `host_memory_bytes`: host pages that the device's rx buffers may take; each device of
    a host has its own limit. `counted`: payload has no content."""

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
    counted: bool = False


class NetDevice:
    """`ledger`: a part of the host's. `boottime`, `trace` and `pool_ids` are the host's, and all its devices
    may share them.

    `boottime`: seconds of CLOCK_BOOTTIME, asked when a page pool is detached. `trace` sees the page pools of
    the rx queues. `pool_ids`: the next page pool ids (netmem.page_pool.PoolContext); None: ids from 1 on, for
    a host whose only device this is.
    """

    _withheld = 0.0  # of bound dma-bufs: see `withhold`

    def __init__(
        self,
        config: DeviceConfig,
        wire: Wire,
        ledger: Ledger,
        boottime: Callable[[], float] = float,
        trace: PoolTrace | None = None,
        pool_ids: Iterator[int] | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.ifindex = config.ifindex
        self.netmem_tx = config.nic.netmem_tx
        self.wire = wire
        self.up = True  # IFF_UP
        rx_buf_len = max(config.rx_buf_len, PAGE_SIZE << (config.nic.pools.order or 0))
        self.rings = Rings(rx_buf_len=rx_buf_len)
        self.steering = FlowSteering()
        self.tso = True  # ethtool -K tso
        self.sg = True  # ethtool -K sg; without scatter-gather there is no TSO either
        self.rss = Rss(config.rx_queues)
        self.rss_contexts: dict[int, Rss] = {}
        self.dma = Dma(ledger)
        self.tx = TxQueue(wire, self.dma)
        self.tx_unreadable_drops = 0
        self.rx_steering_drops = 0
        self._overruns = 0
        self._capture: InterfaceCapture | None = None
        self.napi = Napi()  # one CPU polls all queues
        self.first_napi_id = NAPI_ID_MIN  # queue 0's; a host gives each of its devices another
        ids = itertools.count(1) if pool_ids is None else pool_ids
        self.pool_context = PoolContext(ids, self.napi, trace)
        self._host_pages = HostPages(rx_buf_len, config.host_memory_bytes, config.counted)
        self.all_rx_queues = tuple(
            RxQueue(i, self.host_pool(), self.rings.rx) for i in range(config.rx_queues)
        )
        self.rx_queues = [*self.all_rx_queues]  # the queues in use: the first ones of all_rx_queues
        self.detached_pools: dict[PagePool, float] = {}  # when each was detached; some have drained since
        self._boottime = boottime
        pages = HostPages(PAGE_SIZE, config.host_memory_bytes, config.counted)
        linear_pool = PagePool(pages, context=PoolContext(ids, self.napi))
        self.placement = RxPlacement(wire, self.dma, config.nic, self.rings, linear_pool)
        self._overload = RxOverload()
        self._queue_of_flow: dict[bytes, RxQueue] = {}
        self._starved: dict[RxQueue, None] = {}

    def host_pool(self) -> PagePool:
        """A page pool of host pages, for a queue without a memory provider."""
        return PagePool(self._host_pages, context=self.pool_context)

    def restart_queue(self, rxq: RxQueue, pool: PagePool) -> None:
        """Give the queue another page pool. The old one is in `detached_pools` until it has drained."""
        self.detached_pools = {p: since for p, since in self.detached_pools.items() if p.inflight}
        old = rxq.pool
        rxq.restart(pool)
        if self.config.nic.resets_whole:
            self._reset()
        if old.inflight:
            self.detached_pools[old] = self._boottime()
        self.withhold(self._withheld)

    def withhold(self, share: float) -> None:
        """A fault on purpose: of each queue's part of a bound dma-buf its page pool has this share (0 to 1)
        less, until another share is given. Queues that are bound later are concerned, too."""
        self._withheld = share
        pools = [rxq.pool for rxq in self.all_rx_queues if rxq.pool.provider.dmabuf_id]
        of_provider = Counter(id(pool.provider) for pool in pools)
        for pool in pools:
            part = pool.provider.total / of_provider[id(pool.provider)]
            pool.set_limit(math.floor((1 - share) * part) if share else NO_LIMIT)

    def open(self) -> None:
        """ndo_open: the queues work again, with the page pools that they have."""
        self.up = True

    def stop(self) -> None:
        """ndo_stop, once the queues in use have fresh page pools: packets that wait to be sent are lost, and
        so are frames, until the device is opened again."""
        self.up = False
        self.tx.empty()
        self._lose_frames()

    def _reset(self) -> None:
        """Reset the device: every queue loses its posted buffers, and frames on the wire are lost."""
        for rxq in self.all_rx_queues:
            rxq.empty()
        self._lose_frames()

    def _lose_frames(self) -> None:
        while self.wire.peek() is not None:
            self.wire.drop()
            self.rx_queues[0].counters.rx_hw_drops += 1

    def use_rx_queues(self, count: int) -> None:
        """Use the first `count` queues, 1 to config.rx_queues; the others give their buffers back. The RSS
        table, if it is still the default, spreads over the queues in use."""
        self.rx_queues = [*self.all_rx_queues[:count]]
        for rxq in self.all_rx_queues[count:]:
            self.restart_queue(rxq, self.host_pool())
        if not self.rss.configured:
            self.rss.set_equal(count)
        self.steering_changed()

    @property
    def tx_queue_count(self) -> int:
        """How many tx queues there are. One CPU sends, and XPS chooses the first queue for it; the others
        are idle."""
        return len(self.rx_queues) if self.config.nic.combined else 1

    def overruns(self) -> int:
        """Frames lost so far because the FIFO before the rx queues was full, or stood (`rx_overload`)."""
        self._overruns += self.wire.overruns()
        return self._overruns

    def capture(self, capture: InterfaceCapture) -> None:
        """Write every packet from now on to `capture`."""
        self._capture = self.tx.capture = capture

    def steering_changed(self) -> None:
        """Rules, RSS table or channels changed: forget which queue each flow goes to."""
        self._queue_of_flow.clear()

    # --- receive

    def poll(self, budget: int) -> Iterator[Skb]:
        """Receive up to `budget` packets. Payload that is released during the poll goes to the caches of the
        page pools, as in softirq."""
        if not self.up:
            self._lose_frames()
            return
        self.napi.polling = True
        wire, placement, overload = self.wire, self.placement, self._overload
        stands, emptied = overload.begin_poll(), False
        if overload.dropping:
            budget *= POLLS_IN_ONE
        try:
            for _ in range(budget):
                frame = wire.peek()
                if frame is None:
                    emptied = True
                    return
                parsed = header_split.parse(frame.head, frame.length)
                if stands and overload.refuses(frame.head, parsed):
                    self.wire.drop()
                    self._overruns += 1
                    continue
                rxq = self._queue_of_flow.get(parsed.flow) or self._choose_queue(parsed.flow)
                if rxq is None:
                    self.wire.drop()
                    self.rx_steering_drops += 1
                    continue
                skb = placement.receive(frame, parsed, rxq)
                if skb is None:
                    if rxq.starved:
                        self._starved[rxq] = None
                    continue
                if self._capture is not None:
                    self._capture.received(skb)
                yield skb
        finally:
            overload.end_poll(emptied)
            self.napi.polling = False

    def take_starved(self) -> Collection[RxQueue]:
        """The rx queues that have dropped a frame for want of buffers since the last call."""
        if not self._starved:
            return ()
        starved, self._starved = self._starved, {}
        for rxq in starved:
            rxq.starved = False
        return starved

    def queue_of(self, flow: bytes) -> RxQueue | None:
        """The rx queue for packets of `flow` (see header_split.Parsed); None: a rule discards them."""
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

    # --- send

    def xmit(self, skb: Skb, l4_start: int) -> None:
        """Send an skb; the device releases its payload.

        `l4_start` > 0: the TCP header begins there, and the NIC fills in the checksum and cuts the packet
        every `skb.gso_size` bytes. Unreadable payload is dropped and counted if it belongs to another
        device's binding, or if the device has no netmem_tx, or if scatter-gather is off, so that the payload
        would have to be copied. As in the kernel no error is returned: sendmsg has succeeded long before.
        """
        if not self.up:
            self.tx.hw_drops += 1
            skb.release()
            return
        if skb.payload is not None and skb.payload.unreadable and not self._may_send(skb.payload):
            self.tx_unreadable_drops += 1
            skb.release()
            return
        self.tx.xmit(skb, l4_start)

    def _may_send(self, payload: Frags) -> bool:
        owner = payload.frags[0].netmem.owner
        elsewhere = isinstance(owner, TxBinding) and owner.ifindex != self.ifindex
        return self.netmem_tx and self.sg and not elsewhere

    def close(self) -> None:
        """Stop every queue. The page pools drain as their netmems come back."""
        self.placement.close()
        for rxq in self.all_rx_queues:
            rxq.restart(self.host_pool())
