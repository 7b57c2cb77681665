"""Which sockets may share a port: as Linux's bind conflicts."""

from __future__ import annotations

import errno
import socket
from contextlib import nullcontext
from socket import AF_INET, AF_INET6

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from tests.path.test_tcp_options import give
from tests.path.two_hosts import TwoHosts


def bind(two: TwoHosts, port: int, reuse: bool = False, family: int = AF_INET) -> DevmemSocket:
    sock = two.b.socket(family)
    sock.options.reuse_address = reuse
    sock.bind(0, port)
    return sock


def check(two: TwoHosts, port: int, refused: bool, reuse: bool = False, family: int = AF_INET) -> None:
    """Whether one more socket may have the port."""
    sock = two.b.socket(family)
    sock.options.reuse_address = reuse
    with pytest.raises(OSError, match="in use") if refused else nullcontext() as e:
        sock.bind(0, port)
    assert e is None or e.value.errno == errno.EADDRINUSE
    sock.close(two.now)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_two_share_a_port_if_both_ask_for_reuse(hosts: TwoHosts, first: bool, second: bool) -> None:
    bind(hosts, 5000, first)
    check(hosts, 5000, not (first and second), second)


def test_no_socket_shares_a_port_with_a_listener(hosts: TwoHosts) -> None:
    bind(hosts, 5000, reuse=True).listen(1)
    check(hosts, 5000, refused=True, reuse=True)


def test_of_two_that_share_a_port_one_may_listen(hosts: TwoHosts) -> None:
    first, second = bind(hosts, 5000, reuse=True), bind(hosts, 5000, reuse=True)
    first.listen(1)
    with pytest.raises(OSError, match="5000") as e:
        second.listen(1)
    assert e.value.errno == errno.EADDRINUSE
    first.close(hosts.now)
    second.listen(1)


def test_listeners_that_share_a_port_divide_the_peers_and_one_goes_on_alone(hosts: TwoHosts) -> None:
    listeners = [sharing(hosts) for _ in range(2)]
    for listener in listeners:
        listener.listen(100)
    clients = [hosts.a.socket() for _ in range(40)]
    for client in clients:
        client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: sum(len(each.accept_queue) for each in listeners) == 40)
    assert all(len(each.accept_queue) > 5 for each in listeners)
    check(hosts, 5000, refused=True)
    check(hosts, 5000, refused=True, reuse=True)
    listeners[0].close(hosts.now)
    late = [hosts.a.socket() for _ in range(10)]
    before = len(listeners[1].accept_queue)
    for client in late:
        client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: len(listeners[1].accept_queue) == before + 10)
    sharing(hosts).listen(1)


def sharing(two: TwoHosts) -> DevmemSocket:
    sock = two.b.socket()
    sock.options.reuse_port = True
    sock.bind(0, 5000)
    return sock


@pytest.mark.parametrize("reuse", [True, False])
def test_a_port_whose_connection_is_in_time_wait_needs_reuse(hosts: TwoHosts, reuse: bool) -> None:
    listener = bind(hosts, 5000, reuse=reuse)
    listener.listen(1)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    listener.close(hosts.now)
    check(hosts, 5000, not reuse, reuse)
    server.close(hosts.now)
    hosts.run_until(lambda: client.connection is not None and client.connection.fin_received)
    client.close(hosts.now)
    hosts.run_until(lambda: [*hosts.b.stack.timewait] != [], 5)
    check(hosts, 5000, not reuse, reuse)
    hosts.rest(61)
    check(hosts, 5000, refused=False)


def test_closing_gives_the_port_back_to_both_versions(hosts: TwoHosts) -> None:
    sock = bind(hosts, 5000, family=AF_INET6)
    check(hosts, 5000, refused=True)
    sock.close(hosts.now)
    check(hosts, 5000, refused=False)
    check(hosts, 5000, refused=False, family=AF_INET6)


def test_a_chosen_port_is_ephemeral_and_free(hosts: TwoHosts) -> None:
    socks = [bind(hosts, 0) for _ in range(100)]
    ports = {sock.local[1] for sock in socks}
    assert len(ports) == 100
    assert min(ports) >= 32768
    assert max(ports) < 61000


def test_the_same_connection_twice_is_refused(hosts: TwoHosts) -> None:
    hosts.connect(5000)
    clients = [hosts.a.socket() for _ in range(2)]
    for client in clients:
        client.options.reuse_address = True
        client.bind(0, 4000)
    clients[0].start_connect(hosts.b.address, 5000, hosts.now)
    with pytest.raises(OSError, match="4000") as e:
        clients[1].start_connect(hosts.b.address, 5000, hosts.now)
    assert e.value.errno == errno.EADDRNOTAVAIL


def test_a_new_connection_takes_the_place_of_one_in_time_wait(hosts: TwoHosts) -> None:
    """RFC 6191: the peer comes back from the same port with newer timestamps."""
    listener = bind(hosts, 5000)
    listener.listen(4)

    def connect() -> tuple[DevmemSocket, DevmemSocket]:
        client = hosts.a.socket()
        client.options.reuse_address = True
        client.bind(0, 4000)
        client.start_connect(hosts.b.address, 5000, hosts.now)
        hosts.run_until(lambda: bool(listener.accept_queue), 10)
        server = listener.accept()
        hosts.b.sockets.append(server)
        return client, server

    client, server = connect()
    server.close(hosts.now)  # closes first: TIME_WAIT is here
    hosts.run_until(lambda: client.connection is not None and client.connection.fin_received)
    client.close(hosts.now)
    hosts.run_until(lambda: [*hosts.b.stack.timewait] != [] and not hosts.a.stack.sockets(), 5)
    again, fresh = connect()
    assert [*hosts.b.stack.timewait] == []
    hosts.a.send(again, b"once more")
    hosts.run_until(lambda: fresh.recv_queue.length == 9, 5)


@pytest.mark.parametrize(("option", "first", "then", "refused"), [
    (socket.SO_REUSEADDR, 0, 0, True), (socket.SO_REUSEADDR, 0, 1, False),
    (socket.SO_REUSEADDR, 1, 0, True), (socket.SO_REUSEADDR, 1, 1, False),
    (socket.SO_REUSEPORT, 0, 0, True), (socket.SO_REUSEPORT, 0, 1, False),
    (socket.SO_REUSEPORT, 1, 0, False), (socket.SO_REUSEPORT, 1, 1, False),
])  # fmt: skip
def test_what_is_set_after_bind_counts(
    hosts: TwoHosts, option: int, first: int, then: int, refused: bool
) -> None:
    """As Linux 6.18 answered."""
    holder, other = hosts.b.socket(), hosts.b.socket()
    give(holder, socket.SOL_SOCKET, option, first)
    holder.bind(0, 5000)
    give(holder, socket.SOL_SOCKET, option, then)
    give(other, socket.SOL_SOCKET, option, 1)
    with pytest.raises(OSError, match="in use") if refused else nullcontext():
        other.bind(0, 5000)
    other.close(hosts.now)
    holder.close(hosts.now)
    check(hosts, 5000, refused=False)
