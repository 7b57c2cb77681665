"""What each NIC model does with a packet whose headers it cannot split from the payload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from nodes.nic.counters import HsplitCounters
from nodes.nic.nic_model import MODELS, NicModel, nic_model
from nodes.nic.rx_queue import RxQueue
from nodes.sock.devmem_socket import DevmemSocket
from nodes.uapi.netlink import HeaderOnly
from nodes.uapi.socket import MSG_SOCK_DEVMEM
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DEVMEM_PORT, DEVMEM_QUEUE, DeviceKind, TwoHosts

TOO_SHORT = 54  # bytes: headers with timestamps do not fit


@contextmanager
def hosts_with(nic: NicModel) -> Iterator[TwoHosts]:
    """Two hosts with that NIC, b with a bound queue. Afterwards no memory may be left in use."""
    two = TwoHosts(kind=DeviceKind(nic=nic))
    memory = two.b.bind_rx(1 << 20)
    yield two
    memory.close()
    assert_nothing_left(two)


def queue(two: TwoHosts) -> RxQueue:
    return two.b.device.rx_queues[DEVMEM_QUEUE]


def exchange(two: TwoHosts, port: int) -> DevmemSocket:
    """The server's socket of a connection over which a has sent 3,000 bytes."""
    client, server = two.connect(port)
    assert two.a.send(client, b"x" * 3000) == 3000
    return server


@pytest.mark.parametrize("name", ["generic", "gve"])
def test_split_packets_and_their_header_bytes_are_counted(name: str) -> None:
    with hosts_with(MODELS[name]) as two:
        server = exchange(two, DEVMEM_PORT)
        two.run_until(lambda: server.recv_queue.length == 3000)
        hsplit = queue(two).hsplit
        assert hsplit.rx_hsplit_bytes == 66 * hsplit.rx_hsplit_pkt > 0
        assert hsplit.rx_hsplit_unsplit_pkt == 0


def test_gve_drops_what_it_cannot_split_on_a_queue_of_device_memory() -> None:
    with hosts_with(replace(MODELS["gve"], header_buffer_bytes=TOO_SHORT)) as two:
        server = exchange(two, DEVMEM_PORT)
        two.run_until(lambda: queue(two).hsplit.rx_hsplit_unsplit_pkt >= 3)
        assert server.recv_queue.length == 0
        dropped, arp = queue(two).counters.rx_hw_drops, 1  # an ARP packet has no TCP headers to split off
        assert queue(two).hsplit == HsplitCounters(dropped, 0, dropped)
        counters = two.b.ethtool.stats_get(HeaderOnly(two.b.header)).stats
        assert counters["rx_hsplit_unsplit_pkt"] == dropped + arp


def test_gve_takes_it_on_a_queue_of_host_memory() -> None:
    with hosts_with(replace(MODELS["gve"], header_buffer_bytes=TOO_SHORT)) as two:
        server = exchange(two, 5000)
        two.run_until(lambda: server.recv_queue.length == 3000)


def test_generic_hands_it_over_as_ordinary_data() -> None:
    with hosts_with(replace(MODELS["generic"], header_buffer_bytes=TOO_SHORT)) as two:
        server = exchange(two, DEVMEM_PORT)
        two.run_until(lambda: server.recv_queue.length == 3000)
        assert two.b.recv(server, 3000, MSG_SOCK_DEVMEM) == b"x" * 3000
        assert queue(two).hsplit.rx_hsplit_unsplit_pkt > 0


@pytest.mark.parametrize(("name", "loses"), [("generic", False), ("device-reset", True)])
def test_binding_loses_other_queues_packets_only_where_the_device_is_reset(name: str, loses: bool) -> None:
    two = TwoHosts(kind=DeviceKind(nic=MODELS[name]))
    client, server = two.connect(5001)
    sent = two.a.send(client, bytes(20_000))
    two.run_until(lambda: bool(two.to_b.frames))
    two.now = two.to_b.frames[-1].at  # the frames have reached b's wire, b has not read them
    memory = two.b.bind_rx(1 << 20)
    assert (two.b.device.rx_queues[0].counters.rx_hw_drops > 0) is loses
    two.run_until(lambda: server.recv_queue.length == sent)
    assert (two.a.stack.tcp.mib.TcpRetransSegs > 0) is loses
    memory.close()
    assert_nothing_left(two)


def test_a_driver_of_larger_pools_receives_into_its_larger_pages() -> None:
    two = TwoHosts(kind=DeviceKind(nic=MODELS["no-order-0-pools"]))
    server = exchange(two, 5000)
    two.run_until(lambda: server.recv_queue.length == 3000)
    assert two.b.ethtool.rings_get(HeaderOnly(two.b.header)).rx_buf_len == 16384
    assert {rxq.pool.provider.size for rxq in two.b.device.rx_queues} == {16384}
    assert_nothing_left(two)


@pytest.mark.parametrize("tx", [False, True])
@pytest.mark.parametrize("header_buffer", [None, 60, 66, 67])
@pytest.mark.parametrize("name", MODELS)
def test_only_nics_without_obstacle_take_all_payload_to_device_memory(
    name: str, header_buffer: int | None, tx: bool
) -> None:
    nic = nic_model(name, header_buffer)
    two = TwoHosts(kind=DeviceKind(nic=nic))
    assert carries_devmem(two, tx) == (nic.obstacle(tx) == ""), nic.obstacle(tx)
    assert_nothing_left(two)


def carries_devmem(two: TwoHosts, tx: bool) -> bool:
    """Whether bindings are granted and all payload arrives in device memory."""
    try:
        two.b.bind_rx(1 << 20).close()
        if tx:
            two.b.bind_tx(b"x")[0].close()
    except OSError:
        return False
    server = exchange(two, DEVMEM_PORT)
    two.run_until(lambda: server.recv_queue.length == 3000 or queue(two).hsplit.rx_hsplit_unsplit_pkt > 3)
    try:
        got, _ = two.b.recv_devmem(server, 3000)
    except OSError:  # payload in host memory, and the call has no buffer for it
        return False
    return (got.count, got.copied) == (3000, 0)
