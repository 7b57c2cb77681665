"""Dma-bufs smaller than a window: a stream arrives whole, whatever the wire does and other readers leave."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, Impairment, TwoHosts

KIB, MIB = 1 << 10, 1 << 20
BAD_WIRE = Impairment(loss=0.01, reorder=0.05, duplicate=0.01)


class Flow:
    """A stream from a to b into the dma-buf, sent whenever there is room and read by `read`."""

    def __init__(
        self, hosts: TwoHosts, memory: memoryview, ends: tuple[DevmemSocket, DevmemSocket], content: bytes
    ) -> None:
        self._hosts, self._memory, self._content = hosts, memory, content
        self.client, self.server = ends
        self._sent = 0
        self.received = bytearray()

    def send(self) -> None:
        """As much as the send buffer takes."""
        try:
            chunk = self._content[self._sent : self._sent + (256 << 10)]
            if chunk:
                self._sent += self._hosts.a.send(self.client, chunk)
        except BlockingIOError:
            pass

    def read(self, limit: int = MIB) -> None:
        """What is there; every token returns at once."""
        try:
            got, cmsgs = self._hosts.b.recv_devmem(self.server, limit)
        except BlockingIOError:
            return
        for each in cmsgs:
            self.received += self._memory[each.frag_offset : each.frag_offset + each.frag_size]
        assert self._hosts.b.dontneed(self.server, *(each.frag_token for each in cmsgs)) == len(cmsgs)
        assert got.count == sum(each.frag_size for each in cmsgs)

    @property
    def whole(self) -> bool:
        return len(self.received) == len(self._content)

    def check(self) -> None:
        assert bytes(self.received) == self._content


def connect_twice(hosts: TwoHosts) -> list[tuple[DevmemSocket, DevmemSocket]]:
    """Two connections to the port of the dma-buf's queue: (client on a, server on b)."""
    listener = hosts.b.socket()
    listener.bind(0, DEVMEM_PORT)
    listener.listen(2)
    pairs = []
    for _ in range(2):
        client = hosts.a.socket()
        client.start_connect(hosts.b.address, DEVMEM_PORT, hosts.now)
        hosts.run_until(lambda: bool(listener.accept_queue))
        pairs.append((client, listener.accept()))
        hosts.b.sockets.append(pairs[-1][1])
    return pairs


def transfer(flow: Flow, step: Callable[[], None] = lambda: None) -> Callable[[], bool]:
    def done() -> bool:
        flow.send()
        flow.read()
        step()
        return flow.whole

    return done


def counters(hosts: TwoHosts) -> dict[str, int]:
    mib = hosts.b.stack.tcp.mib
    names = ("PruneCalled", "RcvPruned", "OfoPruned", "TCPRcvQDrop", "TCPOFODrop")
    return {name: getattr(mib, f"TcpExt{name}") for name in names}


def sizes() -> list[tuple[int, int]]:
    return [
        (64 * KIB, 4 * KIB), (128 * KIB, 4 * KIB), (256 * KIB, 4 * KIB), (MIB, 4 * KIB),
        (256 * KIB, 64 * KIB), (MIB, 64 * KIB),
    ]  # fmt: skip


@pytest.mark.parametrize("wire", [Impairment(), BAD_WIRE], ids=["clean", "bad wire"])
@pytest.mark.parametrize(("size", "niov_size"), sizes())
def test_a_small_dmabuf_takes_a_whole_stream(size: int, niov_size: int, wire: Impairment) -> None:
    hosts = TwoHosts(size + niov_size, wire)
    memory = hosts.b.bind_rx(size, niov_size)
    flow = Flow(hosts, memory.view, hosts.connect(DEVMEM_PORT), random.Random(size).randbytes(2 * MIB))
    began = hosts.now
    hosts.run_until(transfer(flow), within_s=60.0)
    print(f"{size} {niov_size}: {hosts.now - began:.3f} s", counters(hosts))
    flow.check()
    assert_nothing_left(hosts)


@pytest.mark.parametrize("wire", [Impairment(), BAD_WIRE], ids=["clean", "bad wire"])
@pytest.mark.parametrize(("size", "niov_size"), sizes())
def test_an_unread_stream_leaves_buffers_to_another(size: int, niov_size: int, wire: Impairment) -> None:
    hosts = TwoHosts(size + niov_size, wire)
    memory = hosts.b.bind_rx(size, niov_size)
    first, second = connect_twice(hosts)
    unread = Flow(hosts, memory.view, first, random.Random(1).randbytes(MIB))
    flow = Flow(hosts, memory.view, second, random.Random(size).randbytes(MIB))
    for _ in range(200):
        unread.send()
        hosts.step()
    began = hosts.now
    hosts.run_until(transfer(flow, unread.send), within_s=60.0)
    print(f"{size} {niov_size}: {hosts.now - began:.3f} s", counters(hosts))
    flow.check()
    hosts.run_until(transfer(unread), within_s=300.0)
    unread.check()
    assert_nothing_left(hosts)


@pytest.mark.parametrize(("size", "niov_size"), sizes())
def test_a_slow_reader_and_a_quick_one_both_end(size: int, niov_size: int) -> None:
    hosts = TwoHosts(size + niov_size, BAD_WIRE)
    memory = hosts.b.bind_rx(size, niov_size)
    first, second = connect_twice(hosts)
    slow = Flow(hosts, memory.view, first, random.Random(1).randbytes(256 * KIB))
    quick = Flow(hosts, memory.view, second, random.Random(size).randbytes(MIB))
    began = read_at = hosts.now
    while not (slow.whole and quick.whole):
        assert hosts.now < began + 60.0
        for flow in (slow, quick):
            flow.send()
        quick.read()
        if hosts.now >= read_at:
            slow.read(8 * KIB)
            read_at = hosts.now + 0.02
        hosts.step(read_at)
    print(f"{size} {niov_size}: {hosts.now - began:.3f} s", counters(hosts))
    slow.check()
    quick.check()
    assert_nothing_left(hosts)


@pytest.mark.parametrize(("size", "niov_size"), sizes())
def test_a_stream_stands_still_while_its_pool_is_withheld_and_then_goes_on(
    size: int, niov_size: int
) -> None:
    hosts = TwoHosts(size + niov_size)
    memory = hosts.b.bind_rx(size, niov_size)
    flow = Flow(hosts, memory.view, hosts.connect(DEVMEM_PORT), random.Random(size).randbytes(3 * MIB))
    goes_on = transfer(flow)
    hosts.run_until(lambda: goes_on() or len(flow.received) >= MIB)
    (rxq,) = [each for each in hosts.b.device.all_rx_queues if each.pool.provider.dmabuf_id]
    hosts.b.device.withhold(1.0)
    until = hosts.now + 1.0
    hosts.run_until(lambda: goes_on() or hosts.now >= until)
    assert len(flow.received) <= MIB + 2 * size, "what was posted, and no more"
    assert rxq.counters.rx_alloc_fail > 0
    hosts.b.device.withhold(0)
    hosts.run_until(goes_on, within_s=60.0)
    flow.check()
    assert_nothing_left(hosts)
