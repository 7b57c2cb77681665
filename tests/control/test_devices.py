"""A host with two NICs: requests find theirs, dumps list both, ids are unique in the host."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.control.devices import Devices
from nodes.control.ethtool import Ethtool
from nodes.control.netdev import Netdev
from nodes.control.netdev_get import NetdevGet
from nodes.nic.net_device import NAPI_ID_MIN
from nodes.nic.nic_model import MODELS
from nodes.uapi.netlink import (
    BindTx,
    Empty,
    HeaderOnly,
    IfindexOnly,
    NapiGet,
    PagePoolGet,
    PagePoolRef,
    PagePoolStatsGet,
    QstatsGet,
    QueueGet,
)
from tests.control.test_bind import fd_of
from tests.control.two_nics import ABSENT, ETH0, ETH1, FIRST, SECOND, bind_rx, nic, refusal, split
from tests.control.two_nics import devices as devices
from tests.control.two_nics import ethtool as ethtool
from tests.control.two_nics import netdev as netdev
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import Tcp

ALL = Empty()


@pytest.fixture
def look(devices: Devices) -> NetdevGet:
    return NetdevGet(devices)


# --- the devices


def test_devices_are_in_ifindex_order_and_have_napi_ids_of_their_own(devices: Devices) -> None:
    assert [*devices] == [FIRST, SECOND]
    assert [device.first_napi_id for device in devices.values()] == [NAPI_ID_MIN, NAPI_ID_MIN + 4]


def test_no_device_and_two_of_one_ifindex_or_name_are_refused() -> None:
    first = nic("eth0", FIRST)
    for others in ([], [first, nic("eth1", FIRST)], [first, nic("eth0", SECOND)]):
        with pytest.raises(ValueError, match="its own ifindex and name"):
            Devices(*others)


# --- the netdev family


def test_a_bind_changes_the_device_of_its_ifindex_only(
    netdev: Netdev, ethtool: Ethtool, look: NetdevGet, devices: Devices
) -> None:
    split(ethtool, ETH1)
    bound = bind_rx(netdev, SECOND, 2)
    assert bound.ifindex == SECOND
    queues = [(q.ifindex, q.id) for q in look.queue_dump(IfindexOnly()) if q.dmabuf == bound.dmabuf_id]
    assert queues == [(SECOND, 2)]
    assert look.queue_get(QueueGet(SECOND, "rx", 2)).dmabuf == bound.dmabuf_id
    assert look.queue_get(QueueGet(FIRST, "rx", 2)).dmabuf is None
    first = [rxq.pool for rxq in devices[FIRST].rx_queues]
    netdev.unbind(bound)
    assert not any(queue.dmabuf for queue in look.queue_dump(IfindexOnly()))
    assert [rxq.pool for rxq in devices[FIRST].rx_queues] == first


def test_the_rules_of_a_bind_are_those_of_its_device(netdev: Netdev, ethtool: Ethtool) -> None:
    split(ethtool, ETH1)
    assert refusal(lambda: bind_rx(netdev, FIRST, 0))[1].startswith("tcp-data-split is not enabled")
    split(ethtool, ETH0)
    assert refusal(lambda: bind_rx(netdev, FIRST, 4))[1:] == (
        "rx queue 4 does not exist, the device has 4", "queues[0].id",
    )  # fmt: skip
    assert bind_rx(netdev, SECOND, 4).ifindex == SECOND
    bind_rx(netdev, FIRST, 0)
    assert refusal(lambda: bind_rx(netdev, FIRST, 0))[0] == "EEXIST"
    bind_rx(netdev, SECOND, 0)


def test_dma_buf_ids_are_unique_in_the_host(netdev: Netdev, ethtool: Ethtool) -> None:
    split(ethtool, ETH0, ETH1)
    bound = [
        bind_rx(netdev, FIRST, 0),
        bind_rx(netdev, SECOND, 0),
        netdev.bind_tx(BindTx(FIRST, 9), fd_of()),
        netdev.bind_tx(BindTx(SECOND, 9), fd_of()),
    ]
    assert [(each.dmabuf_id, each.ifindex) for each in bound] == [
        (1, FIRST), (2, SECOND), (3, FIRST), (4, SECOND),
    ]  # fmt: skip


def test_bind_tx_asks_the_device_of_its_ifindex() -> None:
    netdev = Netdev(Devices(nic("eth0", FIRST), nic("eth1", SECOND, MODELS["no-netmem-tx"])))
    binding = netdev.bind_tx(BindTx(FIRST, 9), fd_of())
    assert refusal(lambda: netdev.bind_tx(BindTx(SECOND, 9), fd_of()))[1].endswith("netmem TX")
    assert netdev.tx_binding(binding.dmabuf_id) is binding
    netdev.unbind(binding)


def test_dumps_list_every_device_in_ifindex_order(look: NetdevGet) -> None:
    both, pools = [FIRST, SECOND], [FIRST] * 4 + [SECOND] * 6
    assert [device.ifindex for device in look.dev_dump(ALL)] == both
    assert [napi.ifindex for napi in look.napi_dump(IfindexOnly())] == pools
    assert [pool.ifindex for pool in look.page_pool_dump(ALL)] == pools
    assert [row.info.ifindex for row in look.page_pool_stats_dump(ALL)] == pools
    assert [row.ifindex for row in look.qstats_dump(QstatsGet())] == both
    queues = [(q.ifindex, q.type, q.id) for q in look.queue_dump(IfindexOnly())]
    assert queues == [
        *((FIRST, "rx", i) for i in range(4)), (FIRST, "tx", 0),
        *((SECOND, "rx", i) for i in range(6)), (SECOND, "tx", 0),
    ]  # fmt: skip
    rows = look.qstats_dump(QstatsGet(scope="queue"))
    assert [(row.ifindex, row.queue_type, row.queue_id) for row in rows] == queues


@pytest.mark.parametrize("ifindex", [FIRST, SECOND])
def test_a_dump_with_an_ifindex_lists_that_device_alone(look: NetdevGet, ifindex: int) -> None:
    only = IfindexOnly(ifindex)
    assert look.dev_get(only).ifindex == ifindex
    assert {queue.ifindex for queue in look.queue_dump(only)} == {ifindex}
    assert {napi.ifindex for napi in look.napi_dump(only)} == {ifindex}
    assert {row.ifindex for row in look.qstats_dump(QstatsGet(ifindex))} == {ifindex}
    assert {row.ifindex for row in look.qstats_dump(QstatsGet(ifindex, "queue"))} == {ifindex}


def test_napi_ids_are_unique_and_found_from_queues_and_pools(look: NetdevGet) -> None:
    queues = [queue for queue in look.queue_dump(IfindexOnly()) if queue.type == "rx"]
    assert len({queue.napi_id for queue in queues}) == 10
    for queue, pool in zip(queues, look.page_pool_dump(ALL), strict=True):
        assert queue.napi_id == pool.napi_id
        assert look.napi_get(NapiGet(queue.napi_id)).ifindex == queue.ifindex


def test_page_pool_ids_are_unique_in_the_host(look: NetdevGet) -> None:
    pools = look.page_pool_dump(ALL)
    assert len({pool.id for pool in pools}) == 10
    for pool in pools:
        assert look.page_pool_get(PagePoolGet(pool.id)) == pool
        stats = look.page_pool_stats_get(PagePoolStatsGet(PagePoolRef(pool.id)))
        assert stats.info == PagePoolRef(pool.id, pool.ifindex)


def test_counters_are_those_of_the_device_that_received(
    look: NetdevGet, ethtool: Ethtool, devices: Devices
) -> None:
    wire = devices[SECOND].wire
    assert isinstance(wire, FakeWire)
    wire.put(Tcp(bytes(9)).frame())
    for skb in devices[SECOND].poll(1):
        skb.release()
    assert [row.rx_packets for row in look.qstats_dump(QstatsGet())] == [0, 1]
    counted = [ethtool.stats_get(HeaderOnly(header)).stats["rx_packets"] for header in (ETH0, ETH1)]
    assert counted == [0, 1]


UNKNOWN: list[Callable[[Netdev, NetdevGet], object]] = [
    lambda netdev, _: bind_rx(netdev, ABSENT, 0),
    lambda netdev, _: netdev.bind_tx(BindTx(ABSENT, 9), fd_of()),
    lambda _, look: look.dev_get(IfindexOnly(ABSENT)),
    lambda _, look: look.queue_get(QueueGet(ABSENT, "rx", 0)),
    lambda _, look: look.queue_dump(IfindexOnly(ABSENT)),
    lambda _, look: look.napi_dump(IfindexOnly(ABSENT)),
    lambda _, look: look.qstats_dump(QstatsGet(ABSENT)),
]


@pytest.mark.parametrize("ask", UNKNOWN)
def test_an_ifindex_that_no_device_has_is_enodev(
    netdev: Netdev, look: NetdevGet, ask: Callable[[Netdev, NetdevGet], object]
) -> None:
    text = "no device has ifindex 5, this host's have 3, 7"
    assert refusal(lambda: ask(netdev, look)) == ("ENODEV", text, "ifindex")
