"""SO_SNDBUF, tcp_wmem and what is charged to a socket that sends, through a whole host."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from select import POLLOUT

import pytest

from nodes.host_config import HostConfig
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option, set_option
from nodes.sock.tcp_poll import poll_events
from nodes.tcp.send_buffer import SKB_BYTES
from nodes.uapi import socket as uapi
from tests.path.conftest import assert_nothing_left
from tests.path.two_hosts import DeviceKind, TwoHosts

SOL = socket.SOL_SOCKET
LINUX = HostConfig.__struct_defaults__[HostConfig.__struct_fields__.index("tcp_wmem")]


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    """With Linux's tcp_wmem."""
    two = TwoHosts(kind=DeviceKind(tcp_wmem=LINUX))
    yield two
    assert_nothing_left(two)


def sndbuf(sock: DevmemSocket) -> int:
    (value,) = struct.unpack("=i", get_option(sock, SOL, uapi.SO_SNDBUF))
    return int(value)


def lock(sock: DevmemSocket, size: int) -> None:
    set_option(sock, SOL, uapi.SO_SNDBUF, struct.pack("=i", size))


def wmem_queued(sock: DevmemSocket) -> int:
    assert sock.connection is not None
    sender = sock.connection.tcb.sender
    return sender.buffer.wmem_queued(sender.bytes_acked)


def fill(hosts: TwoHosts, sock: DevmemSocket) -> int:
    """How many bytes it takes before it would block."""
    taken = 0
    while True:
        try:
            taken += hosts.a.send(sock, bytes(100_000))
        except BlockingIOError:
            return taken


def transfer(hosts: TwoHosts, client: DevmemSocket, server: DevmemSocket, size: int) -> None:
    left, unread = size, size

    def pump() -> bool:
        nonlocal left, unread
        while left and poll_events(client) & POLLOUT:
            left -= hosts.a.send(client, bytes(min(left, 100_000)))
        if server.recv_queue.length:
            unread -= len(hosts.b.recv(server, 1 << 20))
        return not unread

    hosts.run_until(pump)


def test_so_sndbuf_tells_what_the_buffer_has_grown_to(hosts: TwoHosts) -> None:
    assert sndbuf(hosts.a.socket()) == 16384
    client, server = hosts.connect(5000)
    assert (sndbuf(client), sndbuf(server)) == (87040, 87040)
    transfer(hosts, client, server, 6 << 20)
    assert 1 << 20 < sndbuf(client) <= 16 << 20
    assert sndbuf(server) == 87040


def test_so_sndbuf_of_a_listener_locks_its_childrens_too(hosts: TwoHosts) -> None:
    listener, client = hosts.b.socket(), hosts.a.socket()
    listener.bind(0, 5000)
    lock(listener, 30_000)
    listener.listen(1)
    lock(client, 20_000)
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    transfer(hosts, client, server, 1 << 20)
    assert (sndbuf(client), sndbuf(server)) == (40_000, 60_000)


def test_a_poller_writes_when_a_third_is_free(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    assert poll_events(client) & POLLOUT
    assert fill(hosts, client) > 60_000
    assert not poll_events(client) & POLLOUT
    lock(client, wmem_queued(client) * 3 // 4 + 1)  # doubled: half of it again is free
    assert poll_events(client) & POLLOUT
    lock(client, wmem_queued(client) * 3 // 4 - 10)
    assert not poll_events(client) & POLLOUT
    hosts.run_until(lambda: bool(poll_events(client) & POLLOUT))
    assert server.recv_queue.length


def test_device_memory_is_charged_by_the_page(hosts: TwoHosts) -> None:
    _, tx_id = hosts.a.bind_tx(bytes(1 << 20))
    client, _ = hosts.connect(5000)
    client.options.zerocopy = True
    lock(client, 50_000)
    before = wmem_queued(client)
    assert hosts.a.send_devmem(client, tx_id, (4000, 200)) == 200  # in two pages
    assert wmem_queued(client) - before == 2 * 4096 + SKB_BYTES
    pieces = [(at * 4096, 100) for at in range(256)]
    taken = hosts.a.send_devmem(client, tx_id, *pieces)
    assert 20 <= taken // 100 <= 40  # of 25 pages, in whole skbs
    hosts.rest(1)
    assert wmem_queued(client) == 0


def test_the_pages_of_a_whole_dma_buf_cost_what_they_hold(hosts: TwoHosts) -> None:
    _, tx_id = hosts.a.bind_tx(bytes(1 << 20))
    client, server = hosts.connect(5000)
    client.options.zerocopy = True
    lock(client, 2 << 20)
    assert hosts.a.send_devmem(client, tx_id, (0, 1 << 20)) == 1 << 20
    assert 0 < wmem_queued(client) - (1 << 20) <= 40 * SKB_BYTES
    hosts.run_until(lambda: server.recv_queue.length > 0)
