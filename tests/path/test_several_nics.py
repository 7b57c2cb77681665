"""A host with several NICs: routes choose by destination, tables tell addresses apart."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, SO_BINDTODEVICE, SOL_SOCKET

import pytest

from nodes.machine import dmabuf
from nodes.machine.routes import NIC_HOST_TO_WIRE, NIC_WIRE_TO_HOST, ROUTES, totals
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.sock.sockopt import get_option, set_option
from nodes.tcp.state import State
from nodes.uapi.netlink import BindTx
from nodes.uapi.socket import MSG_ZEROCOPY, SO_BINDTOIFINDEX
from nodes.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6
from nodes.wire.checksum import internet_checksum
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


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_the_destination_chooses_the_rail_whatever_the_source_address(
    rails: TwoRails, family: int
) -> None:
    """The weak host model, both ways: the answer comes by rail 1, to the address of rail 2."""
    v6 = family == AF_INET6
    listener = rails.b.listener(address(1, 2, v6), 7000, family)
    client = rails.a.socket(family)
    client.bind(address(2, 1, v6), 0)
    client.start_connect(address(1, 2, v6), 7000, rails.now)
    assert client.device is rails.a.host.devices[11]
    rails.run_until(lambda: bool(listener.accept_queue))
    server = rails.b.accept(listener)
    assert server.remote[0] == address(2, 1, v6)
    assert server.device is rails.b.host.devices[12], "b knows that prefix by rail 2"
    rails.b.send(server, b"back by rail 2")
    rails.run_until(lambda: client.recv_queue.length == 14)


def test_arp_answers_for_an_address_of_the_other_nic_as_in_linux(rails: TwoRails) -> None:
    """A host of rail 1 that takes 10.0.2.2 for a neighbour: b answers by the rail that it would send by."""
    client = rails.a.socket()
    bind_to(client, "eth1")
    rails.b.listener(0, 7000)
    client.start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: client.state is State.ESTABLISHED)
    neighbours = rails.a.stack.inet.links[11].neighbours
    entry = neighbours.entry(address(2, 2))
    assert entry is not None
    assert entry.mac == bytes((2, 0, 0, 0, 1, 2)), "the MAC of rail 1"


@pytest.mark.parametrize("v6", [False, True])
def test_a_ping_of_the_other_nics_address_is_answered_from_it(rails: TwoRails, v6: bool) -> None:
    ours, pinged = address(1, 1, v6), address(2, 2, v6)
    body = bytes((128 if v6 else icmp.ECHO_REQUEST, 0, 0, 0)) + b"abcdefgh"
    if v6:
        packet = ipv6.emit(ours, pinged, ip.ICMPV6, len(body)) + icmpv6.with_checksum(body, ours, pinged)
    else:
        body = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
        packet = ipv4.emit(ours, pinged, ip.ICMP, len(body)) + body
    answers: list[bytes] = []

    def keep(frame: bytes) -> bool:
        answers.append(frame)
        return True

    rails.cables[0][0].lose = keep
    ends = bytes((2, 0, 0, 0, 1, 2)), bytes((2, 0, 0, 0, 1, 1))
    ethertype = ethernet.TYPE_IPV6 if v6 else ethernet.TYPE_IPV4
    rails.a.host.devices[11].wire.send(ethernet.emit(*ends, ethertype) + packet, [], TxOffload())
    rails.run_until(lambda: bool(answers))
    found = (ipv6 if v6 else ipv4).parse(answers[0], 14, len(answers[0]) - 14)
    assert found is not None
    assert (found.src, found.dst, found.ttl) == (pinged, ours, 64)


def test_so_bindtodevice_sends_by_that_device_alone(rails: TwoRails) -> None:
    client = rails.a.socket(AF_INET6)
    bind_to(client, "eth1")
    with pytest.raises(OSError) as e:
        client.start_connect(address(2, 2, v6=True), 7000, rails.now)
    assert e.value.errno == errno.ENETUNREACH
    client.start_connect(address(1, 2, v6=True), 7000, rails.now)
    assert client.device is rails.a.host.devices[11]


def test_a_listener_bound_to_a_device_hears_that_device_alone(rails: TwoRails) -> None:
    """And two listeners on different devices do not conflict; one on any device conflicts with both."""
    listeners = {}
    for rail in RAILS:
        listeners[rail] = sock = rails.b.socket()
        bind_to(sock, f"eth{rail}")
        sock.bind(0, 7000)
        sock.listen(8)
    with pytest.raises(OSError) as e:
        rails.b.socket().bind(0, 7000)
    assert e.value.errno == errno.EADDRINUSE
    rails.a.socket().start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listeners[2].accept_queue))
    assert not listeners[1].accept_queue
    child = rails.b.accept(listeners[2])
    assert child.options.bound_device == "eth2"
    stray = rails.a.socket()  # with an address that b would answer by rail 1
    stray.bind(address(1, 1), 0)
    stray.start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listeners[2].accept_queue))
    assert rails.b.accept(listeners[2]).device is rails.b.host.devices[12]
    listeners[1].close(rails.now)
    refused = rails.a.socket()
    refused.start_connect(address(1, 2), 7000, rails.now)
    rails.run_until(lambda: refused.state is State.CLOSED)
    assert refused.take_error() == errno.ECONNREFUSED


def test_a_connection_bound_to_a_device_does_not_hear_the_other(rails: TwoRails) -> None:
    """Its segments that come by another device are nobody's, and refused."""
    listener = rails.b.listener(0, 7000)
    client = rails.a.socket()
    client.start_connect(address(1, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    server = rails.b.accept(listener)
    bind_to(server, "eth2")
    assert server.route is None, "it is looked up again"
    rails.a.send(client, b"by rail 1")
    rails.run_until(lambda: client.state is State.CLOSED)
    assert client.take_error() == errno.ECONNRESET


def test_only_the_privileged_free_a_socket_from_its_device(rails: TwoRails) -> None:
    sock = rails.a.socket()

    def asked(option: int, value: bytes, privileged: bool) -> str:
        try:
            set_option(sock, SOL_SOCKET, option, value, privileged)
        except OSError as e:
            return errno.errorcode[e.errno or 0]
        return name_of(sock)

    name, number = SO_BINDTODEVICE, SO_BINDTOIFINDEX
    assert asked(name, b"nope", privileged=False) == "ENODEV"
    assert asked(name, b"eth1", privileged=False) == "eth1"
    for option, value in ((name, b"eth2"), (name, b"eth1"), (name, b""), (number, ifindex(0))):
        assert asked(option, value, privileged=False) == "EPERM"
    assert asked(name, b"nope", privileged=False) == "ENODEV"
    assert asked(name, b"eth2\0more", privileged=True) == "eth2"
    assert get_option(sock, SOL_SOCKET, number) == ifindex(12)
    assert asked(number, ifindex(11), privileged=True) == "eth1"
    assert asked(number, ifindex(-1), privileged=True) == "EINVAL"
    assert asked(number, ifindex(99), privileged=True) == "ENODEV"
    assert asked(number, ifindex(0), privileged=True) == ""
    assert get_option(sock, SOL_SOCKET, number) == ifindex(0)


def ifindex(number: int) -> bytes:
    return number.to_bytes(4, "little", signed=True)


def name_of(sock: DevmemSocket) -> str:
    return get_option(sock, SOL_SOCKET, SO_BINDTODEVICE, 16).rstrip(b"\0").decode()


def bind_to(sock: DevmemSocket, device: str) -> None:
    set_option(sock, SOL_SOCKET, SO_BINDTODEVICE, device.encode())


@pytest.mark.parametrize("rail", RAILS)
def test_each_nic_has_a_ledger_of_its_own_and_the_host_has_the_sum(rails: TwoRails, rail: int) -> None:
    listener = rails.b.listener(0, 7000)
    client = rails.a.socket()
    client.start_connect(address(rail, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    server = rails.b.accept(listener)
    rails.a.send(client, bytes(40_000))
    rails.run_until(lambda: server.recv_queue.length == 40_000)
    for host, payload in ((rails.a, NIC_HOST_TO_WIRE), (rails.b, NIC_WIRE_TO_HOST)):
        own, other = (host.host.devices[10 + each].dma.ledger.snapshot() for each in (rail, 3 - rail))
        assert [m.bytes for m in own if m.route == ROUTES[payload]] == [40_000]
        assert other == ()
        nics = totals(own)
        assert nics.pcie_switch_bytes == totals(host.host.ledger.snapshot()).pcie_switch_bytes > 40_000
        assert host.host.ledger.host_dram_bytes > host.host.devices[10 + rail].dma.ledger.host_dram_bytes > 0


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
