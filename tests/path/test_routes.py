"""Routes as connections meet them: gateways, refusals, redirects, and a table that changes under them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from socket import AF_INET, AF_INET6

import pytest

from nodes.inet.route import UNREACHABLE, FibEntry, Prefix
from nodes.machine import dmabuf
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.sock.sockopt import get_option
from nodes.tcp.state import State
from nodes.uapi.netlink import BindTx
from nodes.uapi.socket import IP_MTU, MSG_ZEROCOPY, SOL_IP
from nodes.wire import arp, ethernet, icmp, ip, ipv4
from nodes.wire.arp import Arp
from nodes.wire.checksum import internet_checksum
from nodes.wire.ip import address_int
from tests.path.test_sockets import errno_of
from tests.path.two_hosts import TwoHosts
from tests.path.two_rails import TwoRails, address

FAR, FAR6 = address_int("10.9.0.5"), address_int("2001:db8:9::5")
NEARER, NEARER_MAC = address_int("10.0.1.77"), bytes((2, 0, 0, 0, 0, 77))


@pytest.fixture
def rails() -> Iterator[TwoRails]:
    two = TwoRails()
    yield two
    two.close()


def route_of_a(hosts: TwoHosts, network: int, length: int, v6: bool = False, kind: int = 1) -> None:
    """By gateway b; or one that refuses."""
    gateway = hosts.b.address6 if v6 else hosts.b.address
    sends = kind == 1
    entry = FibEntry(
        Prefix(network, length, v6), hosts.a.link if sends else None, gateway if sends else 0, kind=kind
    )
    hosts.a.stack.inet.routes.insert(entry, ("create", "excl"))


def seen_by_b(hosts: TwoHosts) -> list[bytes]:
    """The frames that a sends from now on."""
    frames: list[bytes] = []

    def look(frame: bytes) -> bool:
        frames.append(frame)
        return False

    hosts.to_b.lose = look
    return frames


@pytest.mark.parametrize(("family", "far"), [(AF_INET, FAR), (AF_INET6, FAR6)])
def test_a_packet_by_a_gateway_has_the_gateways_mac(
    hosts: TwoHosts, family: int, far: int
) -> None:
    v6 = family == AF_INET6
    route_of_a(hosts, far >> 16 << 16, 112 if v6 else 16, v6)
    frames = seen_by_b(hosts)
    client = hosts.a.socket(family)
    client.start_connect(far, 7000, hosts.now)
    hosts.rest(0.01)
    syn = frames[-1]
    assert syn[:6] == hosts.b.device.config.mac
    assert ip.destination(syn[14:]) == far
    asked = {frame[12:14] for frame in frames[:-1]}
    assert asked == {b"\x86\xdd" if v6 else b"\x08\x06"}
    assert hosts.a.link.neighbours.entry(far) is None
    hosts.to_b.lose = lambda _: False
    mib = hosts.b.stack.inet.mib
    hosts.run_until(lambda: mib.IpInAddrErrors + mib.Ip6InAddrErrors > 0)
    assert hosts.b.device.tx.counters.tx_packets == 1, "its own MAC it told; it forwards nothing"


def test_connect_has_the_errno_of_the_route(hosts: TwoHosts) -> None:
    mib = hosts.a.stack.inet.mib
    client, client6 = hosts.a.socket(), hosts.a.socket(AF_INET6)
    assert errno_of(client.start_connect, FAR, 7000, hosts.now) == errno.ENETUNREACH
    assert errno_of(client6.start_connect, FAR6, 7000, hosts.now) == errno.ENETUNREACH
    assert (mib.IpOutNoRoutes, mib.Ip6OutNoRoutes) == (1, 1)
    for v6, far in ((False, FAR), (True, FAR6)):
        route_of_a(hosts, far >> 16 << 16, 112 if v6 else 16, v6, UNREACHABLE)
    assert errno_of(client.start_connect, FAR, 7000, hosts.now) == errno.EHOSTUNREACH
    assert errno_of(client6.start_connect, FAR6, 7000, hosts.now) == errno.EHOSTUNREACH
    assert (mib.IpOutNoRoutes, mib.Ip6OutNoRoutes) == (1, 1)
    client.start_connect(hosts.b.address, 7000, hosts.now)  # the socket is as before


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_a_gateway_that_does_not_answer_is_ehostunreach(hosts: TwoHosts, family: int) -> None:
    v6 = family == AF_INET6
    far = FAR6 if v6 else FAR
    route_of_a(hosts, far >> 16 << 16, 112 if v6 else 16, v6)
    hosts.to_a.lose = lambda _: True
    client = hosts.a.socket(family)
    client.start_connect(far, 7000, hosts.now)
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert errno_of(client.connect_result, hosts.now) == errno.EHOSTUNREACH


# --- redirects


def redirect(hosts: TwoHosts, frame: bytes, reporter: int, to: int = NEARER) -> None:
    """`reporter` tells a that packets like `frame` should go to `to`."""
    body = bytes((icmp.REDIRECT, 1, 0, 0)) + to.to_bytes(4, "big") + frame[14 : 14 + 28]
    message = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
    header = ipv4.emit(reporter, hosts.a.address, ip.ICMP, len(message))
    ends = hosts.a.device.config.mac, hosts.b.device.config.mac
    hosts.b.device.wire.send(ethernet.emit(*ends, ethernet.TYPE_IPV4) + header + message, [], TxOffload())
    hosts.rest(0.01)


def syns(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if frame[12:14] == b"\x08\x00" and frame[23] == ip.TCP]


def test_a_redirect_is_followed_when_the_new_gateway_has_answered(hosts: TwoHosts) -> None:
    route_of_a(hosts, FAR >> 16 << 16, 16)
    frames = seen_by_b(hosts)
    client = hosts.a.socket()
    client.start_connect(FAR, 7000, hosts.now)
    hosts.rest(0.01)
    redirect(hosts, syns(frames)[0], reporter=hosts.b.address + 1)
    redirect(hosts, syns(frames)[0], reporter=hosts.b.address, to=address_int("10.0.2.77"))
    assert hosts.a.link.neighbours.concerns(NEARER) is False, "neither is the gateway's word about its link"
    redirect(hosts, syns(frames)[0], reporter=hosts.b.address)
    assert hosts.a.link.neighbours.concerns(NEARER), "a asks for the new gateway first"
    answer = Arp(arp.REPLY, NEARER_MAC, NEARER, hosts.a.device.config.mac, hosts.a.address)
    hosts.a.link.arp.receive(answer, hosts.now)
    redirect(hosts, syns(frames)[0], reporter=hosts.b.address)
    before = len(syns(frames))
    hosts.run_until(lambda: len(syns(frames)) > before)
    assert syns(frames)[-1][:6] == NEARER_MAC
    assert hosts.a.stack.inet.mib.IcmpInRedirects == 4
    assert client.state is State.SYN_SENT, "a redirect is no error"
    routes = hosts.a.stack.inet.routes
    assert routes.resolve(FAR).gateway == NEARER
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert errno_of(client.connect_result, hosts.now) == errno.EHOSTUNREACH
    assert routes.resolve(FAR).gateway == hosts.b.address, "nobody answers at the new gateway any more"


# --- the table changes under a connection


def host_route(rails: TwoRails, rail: int, kind: int = 1) -> FibEntry:
    """On a: to b's address of rail 2, by the device of `rail`."""
    link = rails.a.stack.inet.links[10 + rail] if kind == 1 else None
    return FibEntry(Prefix(address(2, 2), 32, v6=False), link, kind=kind)


def connected(rails: TwoRails) -> tuple[DevmemSocket, DevmemSocket]:
    """By rail 2."""
    listener = rails.b.listener(0, 7000)
    client = rails.a.socket()
    client.options.zerocopy = True
    client.start_connect(address(2, 2), 7000, rails.now)
    rails.run_until(lambda: bool(listener.accept_queue))
    return client, rails.b.accept(listener)


def passes(rails: TwoRails, client: DevmemSocket, server: DevmemSocket) -> int:
    """Send bytes; returns the rail that a sent them by."""
    before = [rails.a.sent(rail) for rail in (1, 2)]
    rails.a.send(client, b"0123456789")
    rails.run_until(lambda: server.recv_queue.length >= 10, within_s=30)
    assert rails.b.recv(server, 10) == b"0123456789"
    used = [rail for rail in (1, 2) if rails.a.sent(rail) > before[rail - 1]]
    assert len(used) == 1
    return used[0]


def test_a_connection_follows_its_route_to_another_device_and_back(rails: TwoRails) -> None:
    client, server = connected(rails)
    assert passes(rails, client, server) == 2
    routes = rails.a.stack.inet.routes
    routes.insert(host_route(rails, 1))
    rails.a.send(client, b"first")  # ARP on rail 1 comes with it
    rails.run_until(lambda: server.recv_queue.length == 5)
    rails.b.recv(server, 5)
    assert client.device is rails.a.host.devices[11]
    assert passes(rails, client, server) == 1
    routes.delete(host_route(rails, 1))
    assert passes(rails, client, server) == 2


def test_bytes_sent_without_a_route_arrive_when_there_is_one_again(rails: TwoRails) -> None:
    client, server = connected(rails)
    routes, mib = rails.a.stack.inet.routes, rails.a.stack.inet.mib
    refusing = host_route(rails, 2, UNREACHABLE)
    routes.insert(refusing)
    rails.a.send(client, b"late")
    rails.rest(0.5)
    assert mib.IpOutNoRoutes > 0
    assert (client.soft_error, client.pending_error) == (errno.EHOSTUNREACH, 0)
    assert (client.state, server.recv_queue.length) == (State.ESTABLISHED, 0)
    routes.delete(refusing)
    rails.run_until(lambda: server.recv_queue.length == 4, within_s=30)


def test_the_path_mtu_follows_the_route(rails: TwoRails) -> None:
    client, server = connected(rails)
    rails.a.stack.inet.path_mtus.learn(address(2, 2), 1300, rails.now)
    assert client.connection is not None
    before = client.connection.info().snd_mss
    rails.a.stack.inet.routes.insert(host_route(rails, 2))
    passes(rails, client, server)
    assert client.connection.info().snd_mss == before - 200
    assert get_option(client, SOL_IP, IP_MTU, now=rails.now) == (1300).to_bytes(4, "little")


class DeviceMemory:
    """Of host a, bound for sending by the device of rail 2."""

    def __init__(self, rails: TwoRails, client: DevmemSocket) -> None:
        self.rails, self.client = rails, client
        self.memory = dmabuf.export(4096)
        self.binding = rails.a.host.netdev.bind_tx(BindTx(12, self.memory.fd), os.dup(self.memory.fd))

    def send(self) -> int:
        request = SendRequest(MSG_ZEROCOPY, memoryview(b""), self.binding.dmabuf_id, ((0, 100),))
        return sendmsg(self.client, request, 0, self.rails.a.host.netdev.tx_binding, self.rails.now)

    def close(self) -> None:
        self.client.close(self.rails.now, reset=True)
        self.rails.rest(0.01)
        self.rails.a.host.netdev.unbind(self.binding)
        self.memory.close()


def test_device_memory_without_a_route_is_ehostunreach(rails: TwoRails) -> None:
    """Table E4. As in the kernel the old route counts until a packet has found that it has gone."""
    client, server = connected(rails)
    device_memory = DeviceMemory(rails, client)
    refusing = host_route(rails, 2, UNREACHABLE)
    rails.a.stack.inet.routes.insert(refusing)
    assert device_memory.send() == 100
    rails.rest(0.01)
    assert errno_of(device_memory.send) == errno.EHOSTUNREACH
    rails.a.stack.inet.routes.delete(refusing)
    assert device_memory.send() == 100, "the route is looked up again"
    rails.run_until(lambda: server.recv_queue.length == 200, within_s=30)
    device_memory.close()


def test_device_memory_of_another_device_than_the_new_routes_is_enodev(rails: TwoRails) -> None:
    """Table E5, after the route has moved to rail 1."""
    client, server = connected(rails)
    device_memory = DeviceMemory(rails, client)
    assert device_memory.send() == 100
    rails.run_until(lambda: server.recv_queue.length == 100)
    rails.a.stack.inet.routes.insert(host_route(rails, 1))
    rails.a.send(client, b"x")
    rails.run_until(lambda: server.recv_queue.length == 101)
    assert errno_of(device_memory.send) == errno.ENODEV
    device_memory.close()


def test_the_configured_routes_are_in_the_table() -> None:
    """--gateway, --gateway6 and --route."""
    two = TwoRails(nic={"gateway": "10.0.{rail}.254", "gateway6": "2001:db8:{rail}::fe"},
                   routes=("10.9.0.0/16,via=10.0.2.250", "10.8.0.0/16,dev=eth2,src=10.0.1.1,metric=3",
                           "10.7.0.0/16,unreachable", "2001:db8:9::/48,via=2001:db8:2::fa"))  # fmt: skip
    routes = two.a.stack.inet.routes

    def way(to: str, source: int = 0) -> tuple[int, str, str]:
        route = routes.resolve(address_int(to), source)
        return route.link.ifindex, ip.address_text(route.source.address), ip.address_text(route.gateway)

    assert way("192.0.2.1") == (11, "10.0.1.1", "10.0.1.254")
    assert way("192.0.2.1", address(2, 1)) == (12, "10.0.2.1", "10.0.2.254")
    assert way("2001:db9::1", address(2, 1, v6=True)) == (12, "2001:db8:2::1", "2001:db8:2::fe")
    assert way("10.9.0.1") == (12, "10.0.2.1", "10.0.2.250")
    assert way("10.8.0.1") == (12, "10.0.1.1", "0.0.0.0")
    assert way("2001:db8:9::1") == (12, "2001:db8:2::1", "2001:db8:2::fa")
    assert errno_of(routes.resolve, address_int("10.7.0.1")) == errno.EHOSTUNREACH
    two.close()


def test_a_connection_outlives_a_link_that_goes_down(rails: TwoRails) -> None:
    """And it may take another NIC's route meanwhile, if there is one."""
    client, server = connected(rails)
    host, mib = rails.a.host, rails.a.stack.inet.mib
    host.set_link(12, up=False, carrier=False)
    rails.a.send(client, b"late")
    rails.rest(0.5)
    assert mib.IpOutNoRoutes > 0
    assert (client.soft_error, client.state) == (errno.ENETUNREACH, State.ESTABLISHED)
    host.set_link(12, up=True)
    rails.run_until(lambda: server.recv_queue.length == 4, within_s=30)
    rails.b.recv(server, 4)
    assert passes(rails, client, server) == 2
    shorter = Prefix(address(2, 0) >> 16 << 16, 16, v6=False)
    rails.a.stack.inet.routes.insert(replace(host_route(rails, 1), prefix=shorter))
    host.set_link(12, up=False, carrier=False)
    assert passes(rails, client, server) == 1


def test_a_link_without_a_carrier_asks_its_neighbours_anew(rails: TwoRails) -> None:
    client, server = connected(rails)
    neighbours = rails.a.stack.inet.links[12].neighbours
    assert neighbours.mac_of(address(2, 2)) is not None
    rails.a.host.set_link(12, up=True, carrier=False)
    assert neighbours.mac_of(address(2, 2)) is None
    rails.a.host.set_link(12, up=True)
    assert passes(rails, client, server) == 2
