"""A device that is closed and opened (ip link set down, up): queues, NAPIs and page pools go and come; rules,
RSS, rings and bindings stay."""

from __future__ import annotations

import errno

import pytest

from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.control.netlink_error import NetlinkError
from nodes.uapi.netlink import Empty, IfindexOnly, NapiGet, QstatsGet, QueueGet
from tests.control.test_bind import IFINDEX, bind, ready, receive
from tests.nic.bench import Bench
from tests.nic.frames import Tcp

ALL = IfindexOnly()


@pytest.fixture
def look(netdev: Netdev) -> NetdevGet:
    return NetdevGet(netdev.devices)


def test_a_closed_device_has_neither_queues_nor_napis_nor_page_pools(
    netdev: Netdev, look: NetdevGet
) -> None:
    napi_id = look.napi_dump(ALL)[0].id
    netdev.set_link(IFINDEX, up=False)
    for ask in (lambda: look.queue_get(QueueGet(IFINDEX, "rx", 0)), lambda: look.napi_get(NapiGet(napi_id))):
        with pytest.raises(NetlinkError) as refused:
            ask()
        assert refused.value.errno == errno.ENOENT
    # The device is asked for before the queue's number: netdev_nl_queue_fill.
    with pytest.raises(NetlinkError) as refused:
        look.queue_get(QueueGet(IFINDEX, "rx", 99))
    assert refused.value.errno == errno.ENOENT
    assert look.queue_dump(ALL) == look.queue_dump(IfindexOnly(IFINDEX)) == []
    assert look.napi_dump(ALL) == []
    assert look.page_pool_dump(Empty()) == []
    assert look.qstats_dump(QstatsGet(scope="queue")) == []
    assert [row.ifindex for row in look.qstats_dump(QstatsGet())] == [IFINDEX]
    assert look.dev_get(IfindexOnly(IFINDEX)).ifindex == IFINDEX


def test_an_opened_device_has_page_pools_of_its_own(netdev: Netdev, look: NetdevGet) -> None:
    before = look.queue_dump(ALL)
    pools = {pool.id for pool in look.page_pool_dump(Empty())}
    netdev.set_link(IFINDEX, up=False)
    netdev.set_link(IFINDEX, up=True)
    assert look.queue_dump(ALL) == before
    assert not pools & {pool.id for pool in look.page_pool_dump(Empty())}


def test_a_binding_survives_and_is_used_again(netdev: Netdev, look: NetdevGet, bench: Bench) -> None:
    ready(netdev)
    bound = bind(netdev, 7)
    netdev.set_link(IFINDEX, up=False)
    netdev.set_link(IFINDEX, up=True)
    assert look.queue_get(QueueGet(IFINDEX, "rx", 7)).dmabuf == bound.dmabuf_id
    receive(bench, netdev, 7, [1])
    (skb,) = bench.held
    assert skb.payload is not None
    assert skb.payload.unreadable
    bench.assert_conserved(bound)


def test_a_page_pool_in_use_is_detached_until_it_drains(
    netdev: Netdev, look: NetdevGet, bench: Bench
) -> None:
    ready(netdev)
    bound = bind(netdev, 7)
    receive(bench, netdev, 7, [1])
    netdev.set_link(IFINDEX, up=False)
    (pool,) = (pool for pool in look.page_pool_dump(Empty()) if pool.dmabuf == bound.dmabuf_id)
    assert pool.detach_time is not None
    assert pool.inflight == 1
    bench.release(*bench.held)
    assert look.page_pool_dump(Empty()) == []


def test_a_dma_buf_may_be_bound_and_unbound_while_the_device_is_closed(
    netdev: Netdev, look: NetdevGet
) -> None:
    ready(netdev)
    gone = bind(netdev, 6)
    netdev.set_link(IFINDEX, up=False)
    netdev.unbind(gone)
    bound = bind(netdev, 7)
    netdev.set_link(IFINDEX, up=True)
    assert [queue.dmabuf for queue in look.queue_dump(ALL)[6:8]] == [None, bound.dmabuf_id]


def test_no_frame_passes_a_closed_device(netdev: Netdev, bench: Bench) -> None:
    bench.wire.put(Tcp(b"before").frame())
    netdev.set_link(IFINDEX, up=False)
    bench.wire.put(Tcp(b"meanwhile").frame())
    assert list(bench.device.poll(64)) == []
    netdev.set_link(IFINDEX, up=True)
    assert list(bench.device.poll(64)) == []


def test_closing_twice_changes_nothing(netdev: Netdev) -> None:
    netdev.set_link(IFINDEX, up=False)
    pools = [rxq.pool for rxq in netdev.devices[IFINDEX].rx_queues]
    netdev.set_link(IFINDEX, up=False)
    assert [rxq.pool for rxq in netdev.devices[IFINDEX].rx_queues] == pools
