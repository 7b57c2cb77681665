"""A host with several NICs: routes choose by destination, tables tell addresses apart."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from socket import AF_INET, AF_INET6

import pytest

from nodes.machine import dmabuf
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.tcp.state import State
from nodes.uapi.netlink import BindTx
from nodes.uapi.socket import MSG_ZEROCOPY
from tests.path.two_rails import RAILS, TwoRails, address


@pytest.fixture
def rails() -> Iterator[TwoRails]:
    two = TwoRails()
    yield two
    two.close()


@pytest.mark.parametrize("rail", RAILS)
@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_a_connection_takes_the_rail_of_its_destination(rails: TwoRails, rail: int, family: int) -> None:
    v6 = family == AF_INET6
    listener = rails.b.listener(0, 7000, family)
    client = rails.a.socket(family)
    client.start_connect(address(rail, 2, v6), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    server = rails.b.accept(listener)
    assert client.local[0] == address(rail, 1, v6)
    assert server.local[0] == address(rail, 2, v6)
    other = 3 - rail
    assert (rails.a.sent(other), rails.b.sent(other)) == (0, 0)
    rails.a.send(client, b"by rail")
    rails.run_until(lambda: server.recv_queue.length == 7)
    assert rails.b.recv(server, 100) == b"by rail"
    assert rails.a.sent(other) == 0


def test_the_same_ports_on_two_rails_are_two_connections(rails: TwoRails) -> None:
    listener = rails.b.listener(0, 7000)
    clients = {}
    for rail in RAILS:
        client = clients[rail] = rails.a.socket()
        client.bind(address(rail, 1), 4000)
        client.start_connect(address(rail, 2), 7000, rails.now)
    rails.run_until(lambda: len(listener.accept_queue) == 2)
    servers = {sock.local[0]: sock for sock in (rails.b.accept(listener), rails.b.accept(listener))}
    for rail in RAILS:
        rails.a.send(clients[rail], b"rail %d" % rail)
    rails.rest(0.01)
    for rail in RAILS:
        assert rails.b.recv(servers[address(rail, 2)], 100) == b"rail %d" % rail


def test_a_listener_at_one_address_refuses_the_other_rail(rails: TwoRails) -> None:
    listener = rails.b.listener(address(2, 2), 7000)
    refused, taken = rails.a.socket(), rails.a.socket()
    refused.start_connect(address(1, 2), 7000, rails.now)
    taken.start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue) and refused.state is State.CLOSED)
    rails.b.accept(listener)
    assert refused.take_error() == errno.ECONNREFUSED
    assert rails.b.sent(1) == 2  # the answer to ARP, and the RST, by the rail of the SYN


def test_listeners_at_two_addresses_share_a_port_and_take_their_own(rails: TwoRails) -> None:
    listeners = {rail: rails.b.listener(address(rail, 2), 7000) for rail in RAILS}
    with pytest.raises(OSError) as e:
        rails.b.socket().bind(0, 7000)
    assert e.value.errno == errno.EADDRINUSE
    rails.a.socket().start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listeners[2].accept_queue))
    rails.b.accept(listeners[2])
    assert not listeners[1].accept_queue


def test_a_source_address_of_another_rail_has_no_route(rails: TwoRails) -> None:
    client = rails.a.socket()
    client.bind(address(1, 1), 0)
    with pytest.raises(OSError) as e:
        client.start_connect(address(2, 2), 7000, rails.now)
    assert e.value.errno == errno.ENETUNREACH


def test_so_bindtodevice_leaves_only_the_routes_of_that_device(rails: TwoRails) -> None:
    client = rails.a.socket()
    client.options.bound_device = "eth1"
    with pytest.raises(OSError) as e:
        client.start_connect(address(2, 2), 7000, rails.now)
    assert e.value.errno == errno.ENETUNREACH
    client.start_connect(address(1, 2), 7000, rails.now)
    assert client.device is rails.a.host.devices[11]


def test_a_tx_binding_of_another_device_than_the_routes_is_enodev(rails: TwoRails) -> None:
    """Table E5: the connection leaves by rail 2, and the dma-buf is bound to the NIC of rail 1."""
    listener = rails.b.listener(0, 7000)
    client = rails.a.socket()
    client.options.zerocopy = True
    client.start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    rails.b.accept(listener)
    netdev, memory = rails.a.host.netdev, dmabuf.export(4096)
    bindings = {rail: netdev.bind_tx(BindTx(10 + rail, memory.fd), os.dup(memory.fd)) for rail in RAILS}
    requests = {
        rail: SendRequest(MSG_ZEROCOPY, memoryview(b""), binding.dmabuf_id, ((0, 100),))
        for rail, binding in bindings.items()
    }
    with pytest.raises(OSError) as e:
        sendmsg(client, requests[1], 0, netdev.tx_binding, rails.now)
    assert e.value.errno == errno.ENODEV
    assert sendmsg(client, requests[2], 0, netdev.tx_binding, rails.now) == 100
    rails.rest(0.01)
    for binding in bindings.values():
        netdev.unbind(binding)
    memory.close()


def test_page_pool_ids_are_a_hosts_own_and_unique_among_its_nics(rails: TwoRails) -> None:
    ids = [
        [rxq.pool.id for device in host.host.devices.values() for rxq in device.all_rx_queues]
        for host in (rails.a, rails.b)
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == 16
