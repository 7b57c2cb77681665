"""What the netdev family shows of queues, NAPIs, page pools and counters, and what it refuses."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from nodes.control.devices import Devices
from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.control.netlink_error import NetlinkError
from nodes.netmem.memory_provider import HostPages
from nodes.netmem.page_pool import PagePool
from nodes.nic.net_device import NAPI_ID_MIN
from nodes.skb import Skb, frags_of
from nodes.uapi.netlink import (
    BindRx,
    Device,
    Empty,
    IfindexOnly,
    NapiGet,
    NapiInfo,
    PagePoolGet,
    PagePoolRef,
    PagePoolStatsGet,
    QstatsGet,
    Queue,
    QueueGet,
    QueueInfo,
)
from tests.control.conftest import on_nic
from tests.control.test_bind import IFINDEX, bind, fd_of, ready, receive
from tests.nic.bench import Bench
from tests.nic.frames import MIN_FRAME_BYTES, Tcp, arp_request

ALL = Empty()
DUMP = IfindexOnly()


@pytest.fixture
def look(bench: Bench) -> NetdevGet:
    return NetdevGet(Devices(bench.device))


def test_the_device_has_no_xdp(look: NetdevGet) -> None:
    assert look.dev_dump(ALL) == [look.dev_get(IfindexOnly(IFINDEX))] == [Device(IFINDEX, (), (), ())]


def test_one_queue_is_what_the_dump_says(look: NetdevGet, netdev: Netdev) -> None:
    ready(netdev)
    bound = bind(netdev, 7)
    queues = look.queue_dump(IfindexOnly(IFINDEX))
    assert queues[7] == QueueInfo(7, "rx", IFINDEX, NAPI_ID_MIN + 7, bound.dmabuf_id)
    assert queues[8] == QueueInfo(0, "tx", IFINDEX, NAPI_ID_MIN)
    assert look.queue_get(QueueGet(IFINDEX, "rx", 7)) == look.queue_get(QueueGet(IFINDEX, 0, 7)) == queues[7]
    assert look.queue_get(QueueGet(IFINDEX, "tx", 0)) == look.queue_get(QueueGet(IFINDEX, 1, 0)) == queues[8]


@on_nic("combined")
def test_combined_channels_have_a_tx_queue_each_of_which_the_first_sends(
    look: NetdevGet, bench: Bench
) -> None:
    bench.device.use_rx_queues(3)
    tx = [queue for queue in look.queue_dump(DUMP) if queue.type == "tx"]
    assert tx == [QueueInfo(i, "tx", IFINDEX, NAPI_ID_MIN + i) for i in range(3)]
    bench.device.xmit(Skb(bytes(60), None), 0)
    rows = look.qstats_dump(QstatsGet(IFINDEX, "queue"))
    assert [(row.queue_id, row.tx_packets) for row in rows if row.queue_type == "tx"] == [
        (0, 1), (1, 0), (2, 0),
    ]  # fmt: skip


def test_napis_are_dumped_the_last_one_first(look: NetdevGet) -> None:
    napis = look.napi_dump(IfindexOnly(IFINDEX))
    assert [napi.id for napi in napis] == [NAPI_ID_MIN + i for i in range(7, -1, -1)]
    assert (
        look.napi_get(NapiGet(napis[0].id)) == napis[0] == NapiInfo(napis[0].id, IFINDEX, "disabled", 0, 0, 0)
    )


def test_queues_and_pools_show_their_dma_buf(look: NetdevGet, netdev: Netdev, bench: Bench) -> None:
    ready(netdev)
    binding = netdev.bind_rx(BindRx(IFINDEX, 9, (Queue(7, "rx"),), 16384), fd_of(), privileged=True)
    receive(bench, netdev, 7, [1])
    pool = look.page_pool_dump(ALL)[7]
    assert (pool.dmabuf, pool.inflight, pool.inflight_mem) == (binding.dmabuf_id, 16, 16 * 16384)
    assert pool.napi_id == look.queue_dump(DUMP)[7].napi_id
    assert look.page_pool_get(PagePoolGet(pool.id)) == pool
    stats = look.page_pool_stats_dump(ALL)[7]
    assert stats.info == PagePoolRef(pool.id, IFINDEX)
    assert stats.alloc_empty == 16
    assert look.page_pool_stats_get(PagePoolStatsGet(PagePoolRef(pool.id))) == stats


def test_a_detached_pool_is_listed_until_it_has_drained(
    bench: Bench, netdev: Netdev, look: NetdevGet
) -> None:
    bench.device._boottime = lambda: 1234.9
    ready(netdev)
    binding = bind(netdev, 7)
    receive(bench, netdev, 7, [1, 2])
    (before,) = [pool for pool in look.page_pool_dump(ALL) if pool.dmabuf]
    netdev.unbind(binding)
    (after,) = [pool for pool in look.page_pool_dump(ALL) if pool.dmabuf]
    assert (after.id, after.dmabuf, after.inflight) == (before.id, binding.dmabuf_id, 2)
    assert (after.napi_id, after.detach_time) == (None, 1234)
    assert before.detach_time is None
    for skb in [*bench.held]:
        bench.release(skb)
    assert not [pool for pool in look.page_pool_dump(ALL) if pool.dmabuf]
    with pytest.raises(NetlinkError, match=f"no page pool {after.id}"):
        look.page_pool_get(PagePoolGet(after.id))


def test_counters_of_queues_add_up_to_the_devices(look: NetdevGet, netdev: Netdev, bench: Bench) -> None:
    receive(bench, netdev, 2, [1])
    receive(bench, netdev, 3, [2, 3])
    rows = look.qstats_dump(QstatsGet(IFINDEX, "queue"))
    (total,) = look.qstats_dump(QstatsGet())
    assert [row.rx_packets for row in rows if row.queue_type == "rx"] == [0, 0, 1, 2, 0, 0, 0, 0]
    assert (total.rx_packets, total.tx_packets) == (3, 0)
    assert (rows[-1].queue_type, rows[-1].rx_packets) == ("tx", None)


def test_packets_and_bytes_are_the_wires_and_checksums_are_counted(look: NetdevGet, bench: Bench) -> None:
    """Each way a packet of three wire packets, one of a single one, and one without a TCP checksum."""
    whole, alone = Tcp(bytes(2500)), Tcp(bytes(100))
    bench.wire.put(whole.frame(), gso_size=1000)
    bench.wire.put(alone.frame())
    bench.wire.put(alone.frame(bad_checksum=True))
    bench.wire.put(arp_request())
    bench.poll()
    pages = PagePool(HostPages(4096, 1 << 20))
    for size, packets in ((2500, 3), (100, 1)):
        page = pages.alloc_netmem()
        assert page is not None
        skb = Skb(bytes(54), frags_of([page], size), gso_size=1000, wire_packets=packets)
        bench.device.xmit(skb, 34)
    bench.device.xmit(Skb(bytes(42), None), 0)
    (total,) = look.qstats_dump(QstatsGet())
    coalesced, in_wire_packets = 54 + 2500, 3 * 54 + 2500
    assert (total.rx_packets, total.rx_bytes) == (5, in_wire_packets + 154 + MIN_FRAME_BYTES)
    assert (total.rx_csum_unnecessary, total.rx_csum_none, total.rx_hw_drops) == (2, 1, 1)
    assert (total.rx_hw_gro_packets, total.rx_hw_gro_bytes) == (1, coalesced)
    assert (total.rx_hw_gro_wire_packets, total.rx_hw_gro_wire_bytes) == (3, in_wire_packets)
    assert (total.tx_packets, total.tx_bytes) == (5, in_wire_packets + 154 + 42)
    assert (total.tx_needs_csum, total.tx_csum_none) == (4, 1)
    assert (total.tx_hw_gso_packets, total.tx_hw_gso_bytes) == (1, coalesced)
    assert (total.tx_hw_gso_wire_packets, total.tx_hw_gso_wire_bytes) == (3, in_wire_packets)


def test_drops_of_the_device_are_in_its_counters(look: NetdevGet, bench: Bench) -> None:
    """Packets that the core dropped ahead of the device are not counted."""
    bench.device.tx_unreadable_drops = 2
    bench.device.rx_steering_drops = 3
    (total,) = look.qstats_dump(QstatsGet())
    assert (total.tx_hw_drops, total.rx_hw_drops) == (0, 3)


BY_IFINDEX = PagePoolStatsGet(PagePoolRef(1, IFINDEX))
REFUSED: list[tuple[Callable[[NetdevGet], object], int, str]] = [
    (lambda look: look.dev_get(IfindexOnly()), errno.EINVAL, "ifindex"),
    (lambda look: look.dev_get(IfindexOnly(99)), errno.ENODEV, "ifindex"),
    (lambda look: look.queue_get(QueueGet(99, "rx", None)), errno.EINVAL, "id"),
    (lambda look: look.queue_get(QueueGet(99, None, 99)), errno.EINVAL, "type"),
    (lambda look: look.queue_get(QueueGet(None, "rx", 99)), errno.EINVAL, "ifindex"),
    (lambda look: look.queue_get(QueueGet(99, "rx", 99)), errno.ENODEV, "ifindex"),
    (lambda look: look.queue_get(QueueGet(IFINDEX, "rx", 8)), errno.EINVAL, "id"),
    (lambda look: look.queue_get(QueueGet(IFINDEX, "tx", 1)), errno.EINVAL, "id"),
    (lambda look: look.queue_dump(IfindexOnly(99)), errno.ENODEV, "ifindex"),
    (lambda look: look.napi_get(NapiGet()), errno.EINVAL, "id"),
    (lambda look: look.napi_get(NapiGet(1)), errno.ENOENT, "id"),
    (lambda look: look.napi_dump(IfindexOnly(99)), errno.ENODEV, "ifindex"),
    (lambda look: look.page_pool_get(PagePoolGet()), errno.EINVAL, "id"),
    (lambda look: look.page_pool_get(PagePoolGet(1 << 31)), errno.ENOENT, "id"),
    (lambda look: look.page_pool_stats_get(PagePoolStatsGet()), errno.EINVAL, "info"),
    (lambda look: look.page_pool_stats_get(PagePoolStatsGet(PagePoolRef())), errno.EINVAL, "info.id"),
    (
        lambda look: look.page_pool_stats_get(PagePoolStatsGet(PagePoolRef(1, 2))),
        errno.EINVAL,
        "info.ifindex",
    ),
    (lambda look: look.page_pool_stats_get(PagePoolStatsGet(PagePoolRef(1 << 31))), errno.ENOENT, "info.id"),
    (lambda look: look.qstats_dump(QstatsGet(99)), errno.ENODEV, "ifindex"),
]


@pytest.mark.parametrize(("ask", "number", "attribute"), REFUSED)
def test_what_is_missing_or_not_there_is_refused(
    look: NetdevGet, ask: Callable[[NetdevGet], object], number: int, attribute: str
) -> None:
    with pytest.raises(NetlinkError) as caught:
        ask(look)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]
    assert caught.value.attribute == attribute
