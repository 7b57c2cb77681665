"""Socket options that change how TCP behaves, over two whole stacks."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option, set_option
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from tests.path.two_hosts import TwoHosts

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
NUMBERS = [
    (SOL, socket.SO_KEEPALIVE, 1),
    (TCP, socket.TCP_CORK, 1),
    (TCP, socket.TCP_KEEPIDLE, 30),
    (TCP, socket.TCP_KEEPINTVL, 3),
    (TCP, socket.TCP_KEEPCNT, 4),
    (TCP, socket.TCP_USER_TIMEOUT, 5000),
    (SOL, uapi.SO_MAX_PACING_RATE, 1 << 20),
]


def give(sock: DevmemSocket, level: int, option: int, *numbers: int) -> None:
    set_option(sock, level, option, struct.pack(f"={len(numbers)}i", *numbers))


def take(sock: DevmemSocket, level: int, option: int) -> tuple[int, ...]:
    value = get_option(sock, level, option)
    return struct.unpack(f"={len(value) // 4}i", value)


def state_of(sock: DevmemSocket) -> State:
    assert sock.connection is not None
    return sock.connection.state


@pytest.mark.parametrize(("level", "option", "number"), NUMBERS)
def test_what_was_set_is_what_is_got(hosts: TwoHosts, level: int, option: int, number: int) -> None:
    sock = hosts.a.socket()
    assert take(sock, level, option) != (number,)
    give(sock, level, option, number)
    assert take(sock, level, option) == (number,)


@pytest.mark.parametrize(
    ("option", "number"),
    [(socket.TCP_KEEPIDLE, 0), (socket.TCP_KEEPINTVL, 40000), (socket.TCP_KEEPCNT, 128)],
)
def test_a_number_out_of_range_is_einval_and_says_what_to_give(
    hosts: TwoHosts, option: int, number: int
) -> None:
    with pytest.raises(OSError, match=rf"of {number}: give 1 to") as e:
        give(hosts.a.socket(), TCP, option, number)
    assert e.value.errno == errno.EINVAL


def test_keepalive_finds_that_the_peer_is_gone(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    for option, number in ((socket.TCP_KEEPIDLE, 2), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2)):
        give(client, TCP, option, number)
    give(client, SOL, socket.SO_KEEPALIVE, 1)
    hosts.rest(5)
    assert state_of(client) is State.ESTABLISHED
    assert hosts.a.stack.tcp.mib.TcpExtTCPKeepAlive >= 2
    hosts.to_b.lose = lambda _: True
    hosts.run_until(lambda: state_of(client) is State.CLOSED, within_s=10)
    assert client.take_error() == errno.ETIMEDOUT
    hosts.to_b.lose = lambda _: False


def test_keepalive_set_before_connecting_holds_later_and_on_accepted_sockets(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    give(listener, SOL, socket.SO_KEEPALIVE, 1)
    give(listener, TCP, socket.TCP_KEEPIDLE, 1)
    give(listener, TCP, socket.TCP_KEEPINTVL, 1)
    listener.listen(4)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    hosts.b.sockets.append(listener.accept())
    hosts.rest(3)
    assert hosts.b.stack.tcp.mib.TcpExtTCPKeepAlive >= 2
    assert hosts.a.stack.tcp.mib.TcpExtTCPKeepAlive == 0


def test_linger_0_resets_the_peer(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    give(client, SOL, socket.SO_LINGER, 1, 0)
    assert take(client, SOL, socket.SO_LINGER) == (1, 0)
    client.close(hosts.now)
    hosts.rest(0.1)
    assert server.take_error() == errno.ECONNRESET


def test_a_cork_joins_small_writes(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    give(client, TCP, socket.TCP_CORK, 1)
    for _ in range(10):
        hosts.a.send(client, b"x" * 10)
    hosts.rest(0.05)
    assert server.recv_queue.length == 0
    give(client, TCP, socket.TCP_CORK, 0)
    hosts.rest(0.01)
    assert hosts.b.recv(server, 200) == b"x" * 100
    hosts.rest(0.1)


def test_user_timeout_ends_a_connection_whose_data_is_not_acknowledged(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    give(client, TCP, socket.TCP_USER_TIMEOUT, 700)
    hosts.to_b.lose = lambda _: True
    began = hosts.now
    hosts.a.send(client, b"data")
    hosts.run_until(lambda: state_of(client) is State.CLOSED, within_s=10)
    assert 0.69 < hosts.now - began < 1.3
    assert client.take_error() == errno.ETIMEDOUT
    hosts.to_b.lose = lambda _: False


def test_two_dctcp_sockets_agree_on_ecn_and_a_cubic_one_does_not_ask(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    set_option(listener, TCP, socket.TCP_CONGESTION, b"dctcp")
    listener.listen(4)
    seen = []
    for name in (b"dctcp", b"cubic"):
        client = hosts.a.socket()
        set_option(client, TCP, socket.TCP_CONGESTION, name)
        client.start_connect(hosts.b.address, 5000, hosts.now)
        hosts.run_until(lambda: bool(listener.accept_queue))
        hosts.b.sockets.append(listener.accept())
        hosts.a.send(client, b"hello")
        hosts.rest(0.1)
        assert client.connection is not None
        seen.append(bool(client.connection.info().options & 8))
    assert seen == [True, False]


def test_tcp_info_is_the_kernels_struct(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    hosts.a.send(client, bytes(60_000))
    hosts.run_until(lambda: server.recv_queue.length == 60_000)
    hosts.b.recv(server, 60_000)
    hosts.rest(0.5)
    raw = get_option(client, TCP, socket.TCP_INFO)
    assert len(raw) == 280
    assert raw[0] == State.ESTABLISHED
    assert raw[5] == 7  # timestamps, SACK, window scale
    pacing_rate, _, bytes_acked, bytes_received = struct.unpack_from("=4Q", raw, 104)
    segs_out, segs_in = struct.unpack_from("=2I", raw, 136)
    busy_time = struct.unpack_from("=Q", raw, 168)[0]
    bytes_sent = struct.unpack_from("=Q", raw, 200)[0]
    assert (bytes_acked, bytes_received, bytes_sent) == (60_000, 0, 60_000)
    assert segs_out >= 60_000 // 1448
    assert segs_in > 0
    assert busy_time > 0
    assert pacing_rate > 0


def test_a_pacing_rate_has_two_forms_and_all_ones_mean_no_limit(hosts: TwoHosts) -> None:
    """sk_setsockopt: an unsigned long if the buffer holds one, else a u32."""
    sock, option = hosts.a.socket(), uapi.SO_MAX_PACING_RATE
    for value, narrow, wide in (
        (struct.pack("=I", 0xFFFFFFFF), 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        (struct.pack("=I", 0x80000000), 0x80000000, 0x80000000),
        (struct.pack("=Q", 5_000_000_000), 0xFFFFFFFF, 5_000_000_000),
    ):
        set_option(sock, SOL, option, value)
        assert struct.unpack("=I", get_option(sock, SOL, option)) == (narrow,)
        assert struct.unpack("=Q", get_option(sock, SOL, option, 8)) == (wide,)


def test_a_pacing_rate_holds_for_accepted_and_living_connections(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    give(listener, SOL, uapi.SO_MAX_PACING_RATE, 1_000_000)
    listener.listen(1)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    give(client, SOL, uapi.SO_MAX_PACING_RATE, 100_000)
    for sender, receiver, host, rate in ((server, client, hosts.b, 1e6), (client, server, hosts.a, 1e5)):
        assert sender.connection is not None
        assert sender.connection.info().max_pacing_rate == rate
        begun = hosts.now
        assert host.send(sender, bytes(60_000)) == 60_000
        hosts.run_until(lambda receiver=receiver: receiver.recv_queue.length == 60_000, 10)  # type: ignore[misc]
        assert hosts.now - begun > 40_000 / rate
