"""Ordinary sockets over two whole stacks: connections, errors, ends."""

from __future__ import annotations

import errno
import random
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP

import pytest

from nodes.machine.routes import totals
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import set_option
from nodes.sock.tcp_poll import poll_events
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from nodes.uapi.netlink import Rings
from nodes.wire import ethernet, ipv4
from nodes.wire.checksum import internet_checksum
from nodes.wire.ipv4 import address_int
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import Impairment, TwoHosts

MIB = 1 << 20


def errno_of(call: object, *arguments: object) -> int | None:
    assert callable(call)
    with pytest.raises(OSError) as e:
        call(*arguments)
    return e.value.errno


@pytest.mark.parametrize("split", ["enabled", "disabled"])
@pytest.mark.parametrize("impairment", [Impairment(), Impairment(0.03, 0.05, 0.05)], ids=["clean", "bad"])
def test_a_stream_arrives_whole_with_header_split_on_and_off(split: str, impairment: Impairment) -> None:
    two = TwoHosts(77, impairment)
    assert split in ("enabled", "disabled")
    how = Rings(two.b.header, tcp_data_split="enabled" if split == "enabled" else "disabled")
    two.b.ethtool.rings_set(how)
    content = random.Random(1).randbytes(2 * MIB)
    client, server = two.connect(5000)
    received, sent = bytearray(), 0

    def pump() -> bool:
        nonlocal sent
        if sent < len(content) and client.connection and client.connection.send_room:
            sent += two.a.send(client, content[sent : sent + 100_000])
        if server.recv_queue.length:
            received.extend(two.b.recv(server, 64 << 10))
        return len(received) == len(content)

    two.run_until(pump)
    assert bytes(received) == content
    t = totals(two.b.ledger.snapshot())
    payload = t.host_dram_write_bytes + t.host_dram_read_bytes - t.header_host_dram_bytes
    assert payload >= 3 * len(content)  # the NIC writes, the CPU reads and writes
    assert_nothing_left(two)


def test_connecting_to_a_closed_port_is_refused(hosts: TwoHosts) -> None:
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 9, hosts.now)
    assert errno_of(client.connect_result, hosts.now) == errno.EINPROGRESS
    hosts.run_until(lambda: client.connection is not None and client.connection.state is State.CLOSED)
    assert errno_of(client.connect_result, hosts.now) == errno.ECONNREFUSED


@pytest.mark.parametrize(
    ("answers_arp", "number"), [(True, errno.ETIMEDOUT), (False, errno.EHOSTUNREACH)]
)
def test_connecting_to_a_silent_host_fails(hosts: TwoHosts, answers_arp: bool, number: int) -> None:
    """A host that is gone does not answer ARP either, and is noticed before the SYN gives up."""
    hosts.connect(5000)
    hosts.to_b.lose = lambda frame: not (answers_arp and frame[12:14] == b"\x08\x06")
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 80, hosts.now)
    hosts.run_until(lambda: client.connection is not None and client.connection.state is State.CLOSED, 300)
    hosts.to_b.lose = lambda _: False
    assert errno_of(client.connect_result, hosts.now) == number


def test_connecting_to_a_host_that_is_not_there_finds_no_route_in_three_seconds(hosts: TwoHosts) -> None:
    client = hosts.a.socket()
    client.start_connect(address_int("10.0.1.77"), 80, hosts.now)
    hosts.run_until(lambda: client.connection is not None and client.connection.state is State.CLOSED, 3.1)
    assert errno_of(client.connect_result, hosts.now) == errno.EHOSTUNREACH


def test_addresses_off_the_link_and_our_own_have_no_route(hosts: TwoHosts) -> None:
    for address in ("192.0.2.1", "10.0.1.1"):
        assert errno_of(hosts.a.socket().start_connect, address_int(address), 80, 0.0) == errno.ENETUNREACH


def test_ports_in_use_and_foreign_addresses_are_refused(hosts: TwoHosts) -> None:
    first = hosts.a.socket()
    first.bind(0, 5000)
    assert errno_of(hosts.a.socket().bind, 0, 5000) == errno.EADDRINUSE
    assert errno_of(hosts.a.socket().bind, address_int("10.9.9.9"), 5000) == errno.EADDRNOTAVAIL
    assert errno_of(first.bind, 0, 5001) == errno.EINVAL
    first.close(hosts.now)
    hosts.a.socket().bind(0, 5000)


def test_calls_on_an_unconnected_socket_fail_as_in_linux(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    assert errno_of(hosts.a.recv, sock, 10) == errno.ENOTCONN
    assert errno_of(hosts.a.send, sock, b"x") == errno.EPIPE
    assert errno_of(sock.shutdown, 1, 0.0) == errno.ENOTCONN
    assert errno_of(sock.accept) == errno.EINVAL


def test_half_close_lets_the_other_direction_go_on(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    hosts.a.send(client, b"request")
    client.shutdown(1, hosts.now)
    assert errno_of(hosts.a.send, client, b"more") == errno.EPIPE
    hosts.run_until(lambda: server.connection is not None and server.connection.fin_received)
    assert hosts.b.recv(server, 100) == b"request"
    assert hosts.b.recv(server, 100) == b""
    hosts.b.send(server, b"answer")
    hosts.run_until(lambda: client.recv_queue.length == 6)
    assert hosts.a.recv(client, 100) == b"answer"


def test_closing_with_unread_data_resets_the_peer(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    hosts.a.send(client, b"unread")
    hosts.run_until(lambda: server.recv_queue.length == 6)
    server.close(hosts.now)
    hosts.run_until(lambda: client.connection is not None and client.connection.state is State.CLOSED)
    assert errno_of(hosts.a.recv, client, 10) == errno.ECONNRESET


def test_a_full_backlog_loses_the_syn_and_a_retry_gets_in(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(1)
    for _ in range(3):
        hosts.a.socket().start_connect(hosts.b.address, 5000, hosts.now)
        hosts.rest(0.1)
    assert len(listener.accept_queue) == 2  # one more than asked for, as in Linux
    assert hosts.b.stack.inet.mib.TcpExtListenOverflows >= 1
    hosts.b.sockets.append(listener.accept())
    hosts.run_until(lambda: len(listener.accept_queue) == 2, 10)


def test_a_closed_listener_resets_what_waited_in_its_queue(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(4)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    listener.close(hosts.now)
    hosts.run_until(lambda: ended(client))
    assert errno_of(hosts.a.recv, client, 1) == errno.ECONNRESET
    again = hosts.a.socket()
    again.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: ended(again))
    assert errno_of(again.connect_result, hosts.now) == errno.ECONNREFUSED


def ended(sock: DevmemSocket) -> bool:
    return sock.connection is not None and sock.connection.state is State.CLOSED


def test_a_refused_attempt_hangs_up_until_connect_has_told_of_it(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    sock.start_connect(hosts.b.address, 9, hosts.now)
    hosts.run_until(lambda: ended(sock))
    over = POLLIN | POLLOUT | POLLRDHUP | POLLHUP
    assert poll_events(sock) == over | POLLERR
    assert sock.take_error() == errno.ECONNREFUSED
    assert poll_events(sock) == over
    assert errno_of(sock.connect_result, hosts.now) == errno.ECONNABORTED
    assert poll_events(sock) == POLLOUT


def test_a_full_send_buffer_blocks_and_drains(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    taken = 0
    with pytest.raises(BlockingIOError):
        while True:
            taken += hosts.a.send(client, bytes(MIB))
    assert 0.9 * 8 * MIB < taken <= 8 * MIB  # of tests.path.two_hosts; skbs take memory beside their payload
    read = 0

    def pump() -> bool:
        nonlocal read
        if server.recv_queue.length:
            read += len(hosts.b.recv(server, MIB))
        return read == taken

    hosts.run_until(pump)


def test_a_lost_arp_request_is_asked_again(hosts: TwoHosts) -> None:
    lost = 0

    def lose_two_arps(frame: bytes) -> bool:
        nonlocal lost
        lost += frame[12:14] == b"\x08\x06" and lost < 2
        return frame[12:14] == b"\x08\x06" and lost < 2

    hosts.to_b.lose = lose_two_arps
    hosts.connect(5000)
    assert lost == 2


def test_icmp_echo_is_answered(hosts: TwoHosts) -> None:
    message = bytearray(b"\x08\0\0\0\0\1\0\1ping")
    message[2:4] = internet_checksum(bytes(message)).to_bytes(2, "big")
    packet = ipv4.emit(hosts.a.address, hosts.b.address, ipv4.ICMP, len(message)) + message
    frame = ethernet.emit(hosts.b.device.config.mac, hosts.a.device.config.mac, ethernet.TYPE_IPV4) + packet
    hosts.a.device.wire.send(frame, [], TxOffload())
    answers: list[bytes] = []


    def keep(frame: bytes) -> bool:
        answers.append(frame)
        return True

    hosts.to_a.lose = keep
    hosts.rest(0.01)
    assert len(answers) == 1
    assert answers[0][34:35] == b"\0"
    assert answers[0][38:] == bytes(message[4:])
    assert internet_checksum(answers[0][34:]) == 0


def test_nodelay_on_a_living_connection_sends_what_nagle_held_back(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    hosts.to_a.lose = lambda _: True  # no acknowledgement comes
    hosts.a.send(client, b"first")
    hosts.a.stack.transmit(hosts.now)
    hosts.a.send(client, b"second")
    hosts.a.stack.transmit(hosts.now)
    hosts.rest(0.01)
    assert server.recv_queue.length == 5
    assert set_option(client, uapi.IPPROTO_TCP, uapi.TCP_NODELAY, b"\1\0\0\0") == 0
    hosts.rest(0.01)
    assert server.recv_queue.length == 11
    hosts.to_a.lose = lambda _: False


def test_a_receive_buffer_larger_than_any_window_is_no_ones_ruin(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    assert set_option(listener, uapi.SOL_SOCKET, uapi.SO_RCVBUF, (0x7FFFFFFF).to_bytes(4, "little")) == 0
    listener.bind(0, 5000)
    listener.listen(1)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue), 5)
