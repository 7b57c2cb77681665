"""A listener under attack, and under load: what is bounded, and who still gets in."""

from __future__ import annotations

import random
from collections.abc import Callable
from socket import AF_INET, AF_INET6

import pytest

from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.tcp.state import State
from nodes.wire import ethernet, ip, ipv4, ipv6, tcp
from nodes.wire.tcp import ACK, RST, SYN, TcpHeader
from tests.path.two_hosts import TwoHosts

MIB = 1 << 20


def listen(hosts: TwoHosts, backlog: int, family: int = AF_INET) -> DevmemSocket:
    listener = hosts.b.socket(family)
    listener.bind(0, 5000)
    listener.listen(backlog)
    return listener


def from_stranger(hosts: TwoHosts, header: TcpHeader, address: int) -> None:
    """A segment to b from an `address` that never answers."""
    l4 = tcp.emit(header)
    macs = hosts.b.device.config.mac, hosts.a.device.config.mac
    if ip.is_ipv6(address):
        packet = ipv6.emit(address, hosts.b.address6, ip.TCP, len(l4)) + l4
        frame = ethernet.emit(*macs, ethernet.TYPE_IPV6) + packet
    else:
        packet = ipv4.emit(address, hosts.b.address, ip.TCP, len(l4)) + l4
        frame = ethernet.emit(*macs, ethernet.TYPE_IPV4) + packet
    hosts.a.device.wire.send(frame, [], TxOffload())


def flood(hosts: TwoHosts, count: int, family: int = AF_INET) -> None:
    """`count` SYNs from as many ports of a neighbour that is not there."""
    chance = random.Random(7)
    base = ip.address_int("2001:db8::77" if family == AF_INET6 else "10.0.1.77")
    mac = hosts.a.device.config.mac
    hosts.b.link.neighbours.learn(base, mac, hosts.now)
    for number in range(count):
        syn = TcpHeader(1024 + number, 5000, chance.getrandbits(32), 0, SYN, 65535, mss=1460)
        from_stranger(hosts, syn, base)
        if number % 32 == 31:
            hosts.b.turn()
    hosts.rest(0.01)


@pytest.fixture
def to_a(hosts: TwoHosts) -> list[TcpHeader]:
    """The TCP headers that b sends."""
    seen: list[TcpHeader] = []

    def look(frame: bytes) -> bool:
        if frame[12:14] == b"\x08\x00" and frame[23] == ip.TCP:
            seen.append(tcp.parse(frame, 34)[0])
        return False

    hosts.to_a.lose = look
    return seen


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_a_syn_flood_is_held_to_the_backlog_and_everyone_else_gets_in(hosts: TwoHosts, family: int) -> None:
    listener = listen(hosts, 16, family)
    flood(hosts, 500, family)  # fewer than those of which the NIC drops some (STANDING_SYNS)
    mib = hosts.b.stack.inet.mib
    assert listener.syn_queue_length == 16
    assert len(hosts.b.stack.sockets()) == 17
    assert mib.TcpExtSyncookiesSent == mib.TcpExtTCPReqQFullDoCookies == 500 - 16
    client = hosts.a.socket(family)
    address = hosts.b.address6 if family == AF_INET6 else hosts.b.address
    client.start_connect(address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue), 5)
    assert (mib.TcpExtSyncookiesRecv, mib.TcpExtSyncookiesFailed) == (1, 0)
    server = listener.accept()
    hosts.b.sockets.append(server)
    assert client.connection is not None
    assert server.connection is not None
    info = server.connection.info()
    assert info.snd_wscale == client.connection.info().rcv_wscale > 0  # the cookie remembered it
    content = random.Random(8).randbytes(MIB)
    hosts.a.send(client, content)
    received = bytearray()

    def read() -> bool:
        if server.recv_queue.length:
            received.extend(hosts.b.recv(server, MIB))
        return len(received) == MIB

    hosts.run_until(read, 20)
    assert received == content


def test_data_on_the_ack_of_a_cookie_is_not_lost(hosts: TwoHosts) -> None:
    listener = listen(hosts, 1)
    flood(hosts, 50)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    bare_ack = 14 + 20 + 32
    hosts.to_b.lose = lambda frame: len(frame) == bare_ack and frame[47] == ACK
    hosts.run_until(lambda: connected(client)(), 5)
    hosts.a.send(client, b"first words")
    hosts.run_until(lambda: bool(listener.accept_queue), 5)
    hosts.to_b.lose = lambda _: False
    server = listener.accept()
    hosts.b.sockets.append(server)
    hosts.run_until(lambda: server.recv_queue.length == 11, 5)
    assert hosts.b.recv(server, 11) == b"first words"
    assert hosts.b.stack.inet.mib.TcpExtSyncookiesRecv == 1


def connected(sock: DevmemSocket) -> Callable[[], bool]:
    return lambda: sock.connection is not None and sock.connection.state is State.ESTABLISHED


def test_an_invented_cookie_is_answered_with_a_reset(hosts: TwoHosts, to_a: list[TcpHeader]) -> None:
    listen(hosts, 1)
    flood(hosts, 10)
    to_a.clear()
    hosts.b.link.neighbours.learn(hosts.a.address, hosts.a.device.config.mac, hosts.now)
    from_stranger(hosts, TcpHeader(999, 5000, 12345, 67890, ACK, 1000), hosts.a.address)
    hosts.rest(0.001)
    assert hosts.b.stack.inet.mib.TcpExtSyncookiesFailed == 1
    resets = [header for header in to_a if header.dst_port == 999]
    assert [header.flags & RST for header in resets] == [RST]


def test_without_a_flood_no_ack_is_taken_for_a_cookie(hosts: TwoHosts) -> None:
    listen(hosts, 1)
    hosts.b.link.neighbours.learn(hosts.a.address, hosts.a.device.config.mac, hosts.now)
    from_stranger(hosts, TcpHeader(999, 5000, 12345, 67890, ACK, 1000), hosts.a.address)
    hosts.rest(0.001)
    assert hosts.b.stack.inet.mib.TcpExtSyncookiesFailed == 0


def test_every_segment_to_a_closed_port_is_refused_without_a_limit(
    hosts: TwoHosts, to_a: list[TcpHeader]
) -> None:
    flood(hosts, 300)
    assert len([header for header in to_a if header.flags & RST]) == 300
    assert hosts.b.stack.tcp.mib.TcpOutRsts == 300


def test_a_handshake_waits_for_room_in_the_accept_queue_and_then_completes(hosts: TwoHosts) -> None:
    listener = listen(hosts, 1)
    clients = [hosts.a.socket() for _ in range(3)]
    for client in clients[:2]:
        client.start_connect(hosts.b.address, 5000, hosts.now)
        hosts.run_until(connected(client), 5)
    hosts.run_until(lambda: len(listener.accept_queue) == 2, 5)
    clients[2].start_connect(hosts.b.address, 5000, hosts.now)
    hosts.rest(0.01)
    assert not connected(clients[2])()
    for _ in range(2):
        hosts.b.sockets.append(listener.accept())
    hosts.run_until(connected(clients[2]), 10)


def test_closing_a_listener_under_flood_leaves_nothing(hosts: TwoHosts) -> None:
    listener = listen(hosts, 64)
    flood(hosts, 200)
    listener.close(hosts.now)
    hosts.rest(0.01)
    assert hosts.b.stack.sockets() == []


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_half_open_handshakes_end_in_silence_with_their_listener(
    hosts: TwoHosts, to_a: list[TcpHeader], how: str
) -> None:
    """inet_csk_listen_stop resets what was not accepted; of the others it says nothing."""
    listener = listen(hosts, 8)
    stranger = ip.address_int("10.0.1.77")
    hosts.b.link.neighbours.learn(stranger, hosts.a.device.config.mac, hosts.now)
    for port in (4000, 4001):
        from_stranger(hosts, TcpHeader(port, 5000, 1000, 0, SYN, 65535, mss=1460), stranger)
    hosts.rest(0.01)
    (iss,) = {each.seq for each in to_a if each.dst_port == 4001}
    from_stranger(hosts, TcpHeader(4001, 5000, 1001, iss + 1 & 0xFFFFFFFF, ACK, 65535), stranger)
    hosts.rest(0.01)
    assert (len(listener.accept_queue), listener.syn_queue_length) == (1, 1)
    to_a.clear()
    if how == "close":
        listener.close(hosts.now)
    else:
        listener.shutdown(0, hosts.now)
    hosts.rest(5.0)
    assert [(each.dst_port, each.flags) for each in to_a] == [(4001, RST | ACK)]
    to_a.clear()
    from_stranger(hosts, TcpHeader(4000, 5000, 1001, 1, ACK, 65535), stranger)
    hosts.rest(0.01)
    assert [(each.dst_port, each.flags) for each in to_a] == [(4000, RST)]
