"""A net device on a fake wire; on request a dma-buf is bound to one of its queues.

In: frames put on `wire`. Out: skbs, which `held` has until they are released. Owns device, ledger and
binding; `settle` asserts that no net_iov and no page was lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.machine import dmabuf
from nodes.machine.ledger import Ledger
from nodes.netmem.binding import Binding, RxBinding
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.nic.nic_model import GENERIC, NicModel
from nodes.nic.rings import TcpDataSplit
from nodes.nic.rx_queue import RxQueue
from nodes.skb import Frags, Skb
from tests.netmem.census import assert_conserved
from tests.netmem.failing import FailingNetIovs
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_MAC

DEVMEM_QUEUE = 7
_UNTOUCHED = 0x5A


def contents(payload: Frags | None) -> bytes:
    """The bytes of the payload, which only a test may read."""
    if payload is None:
        return b""
    return b"".join(bytes(f.netmem.region.view[f.offset : f.offset + f.size]) for f in payload.frags)


@dataclass
class Got:
    """A received packet. `header` is a copy, because the NIC reuses the buffer."""

    header: bytes
    skb: Skb

    @property
    def payload(self) -> bytes:
        return contents(self.skb.payload)


class Bench:
    def __init__(self, rx_buf_len: int = 4096, ring_size: int = 16, nic: NicModel = GENERIC) -> None:
        self.wire = FakeWire()
        self.ledger = Ledger()
        config = DeviceConfig("eth0", ifindex=2, mac=OUR_MAC, rx_buf_len=rx_buf_len, nic=nic)
        self.device = NetDevice(config, self.wire, self.ledger)
        for rxq in self.device.rx_queues:
            rxq.ring_size = ring_size
        self.held: list[Skb] = []
        self.freed: list[Binding] = []
        self.binding: RxBinding | None = None

    def split(self) -> None:
        self.device.rings.tcp_data_split = TcpDataSplit.ENABLED

    def bind(self, niov_size: int = 4096, niovs: int = 64, fails_at: int = 0) -> RxBinding:
        """Enable header split, bind a dma-buf to DEVMEM_QUEUE, and steer all flows there. The `fails_at`-th
        allocation from the binding fails; 0: none fails."""
        self.split()
        region = dmabuf.export(niovs * niov_size)
        region.view[:] = bytes([_UNTOUCHED]) * region.size
        self.binding = RxBinding(1, self.device.ifindex, region, self.freed.append, niov_size)
        if fails_at:
            self.binding.provider = FailingNetIovs(region, niov_size, 1, fails_at)
        self.queue.restart(self.binding.page_pool(1024, self.device.pool_context))
        self.device.rss.table = [DEVMEM_QUEUE] * len(self.device.rss.table)
        self.device.steering_changed()
        return self.binding

    @property
    def queue(self) -> RxQueue:
        """The queue that a dma-buf is bound to."""
        return self.device.rx_queues[DEVMEM_QUEUE]

    def poll(self, budget: int = 64) -> list[Got]:
        got = []
        for skb in self.device.poll(budget):
            self.held.append(skb)
            got.append(Got(bytes(skb.header), skb))
        return got

    def release(self, skb: Skb) -> None:
        self.held.remove(skb)
        skb.release()

    def touched(self) -> bytes:
        """The bytes of the bound dma-buf that were written with another value than _UNTOUCHED."""
        assert self.binding is not None
        return bytes(self.binding.region.view).replace(bytes([_UNTOUCHED]), b"")

    def assert_conserved(self, binding: RxBinding) -> None:
        """Each net_iov of the binding is free, in one of its queues, or in an skb that is held."""
        queues = [rxq for rxq in self.device.rx_queues if rxq.pool.provider is binding.provider]
        frags = [frag for skb in self.held if skb.payload for frag in skb.payload.frags]
        held = [frag.netmem for frag in frags if frag.netmem.region is binding.region]
        assert_conserved(binding.provider, [rxq.pool for rxq in queues], queues, held)

    def settle(self) -> None:
        """Assert that each net_iov is in one place, then that all pools drain and the dma-buf is freed."""
        if self.binding is not None:
            self.assert_conserved(self.binding)
            self.binding.unbind()
        for skb in self.held:
            skb.release()
        pools = [rxq.pool for rxq in self.device.rx_queues]
        self.device.close()
        assert [pool.inflight for pool in pools] == [0] * len(pools)
        assert self.freed == ([self.binding] if self.binding is not None else [])
