"""A socket from its first call to its last, over two whole stacks: what connect and shutdown leave behind.

That Linux answers the same is shown by tests/system/test_sockets_as_linux.py; here nothing may be lost.
"""

from __future__ import annotations

import errno
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from socket import SHUT_RD, SHUT_RDWR, SHUT_WR

import pytest

from nodes.sock.devmem_socket import SOMAXCONN, DevmemSocket
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.sock.socket_state import SocketState
from nodes.sock.tcp_poll import poll_events
from nodes.tcp.state import State
from nodes.uapi.socket import MSG_OOB
from nodes.wire import ip
from tests.path.test_sockets import errno_of
from tests.path.two_hosts import TwoHosts

CLOSED_PORT = 9
EVENTS = POLLIN | POLLOUT | POLLRDHUP


def refuse(hosts: TwoHosts, sock: DevmemSocket) -> None:
    sock.start_connect(hosts.b.address, CLOSED_PORT, hosts.now)
    hosts.run_until(lambda: sock.state is State.CLOSED)


def listener_of(hosts: TwoHosts, backlog: int = 4) -> DevmemSocket:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(backlog)
    return listener


@pytest.mark.parametrize("port", [0, 4000], ids=["any port", "a port of its own"])
def test_after_a_refusal_the_same_socket_connects(hosts: TwoHosts, port: int) -> None:
    listener = listener_of(hosts)
    client = hosts.a.socket()
    if port:
        client.bind(0, port)
    for _ in range(3):
        refuse(hosts, client)
        assert errno_of(client.connect_result, hosts.now) == errno.ECONNREFUSED
        assert errno_of(hosts.a.recv, client, 1) == errno.ENOTCONN
        assert client.peer == (0, 0)
        assert bool(client.slots) is bool(port)
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    client.connect_result(hosts.now)
    server = listener.accept()
    hosts.b.sockets.append(server)
    assert (server.remote[1] == port) is bool(port)
    assert errno_of(client.start_connect, hosts.b.address, 5000, hosts.now) == errno.EISCONN
    hosts.a.send(client, b"at last")
    hosts.run_until(lambda: server.recv_queue.length == 7)


def test_a_refusal_whose_error_was_fetched_is_econnaborted_to_connect(hosts: TwoHosts) -> None:
    client = hosts.a.socket()
    refuse(hosts, client)
    assert client.take_error() == errno.ECONNREFUSED
    assert hosts.a.recv(client, 1) == b""
    assert errno_of(client.connect_result, hosts.now) == errno.ECONNABORTED
    assert client.socket_state is SocketState.UNCONNECTED


@pytest.mark.parametrize("how", [SHUT_RD, SHUT_WR, SHUT_RDWR])
def test_shutdown_ends_an_attempt_to_connect(hosts: TwoHosts, how: int) -> None:
    client = hosts.a.socket()
    client.start_connect(ip.address_int("10.0.1.77"), 80, hosts.now)
    client.shutdown(how, hosts.now)
    assert client.state is State.CLOSED
    assert errno_of(client.connect_result, hosts.now) == errno.ECONNRESET
    assert not hosts.a.stack.sockets()


@pytest.mark.parametrize("how", [SHUT_RD, SHUT_WR, SHUT_RDWR])
def test_shutdown_before_connect_has_told_of_a_connection_tells_it(hosts: TwoHosts, how: int) -> None:
    listener, client = listener_of(hosts), hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    client.shutdown(how, hosts.now)
    for _ in range(2):
        assert errno_of(client.start_connect, hosts.b.address, 5000, hosts.now) == errno.EISCONN


@pytest.mark.parametrize("how", [SHUT_RD, SHUT_WR, SHUT_RDWR])
def test_a_refused_socket_that_was_shut_down_never_connects(hosts: TwoHosts, how: int) -> None:
    listener_of(hosts)
    client = hosts.a.socket()
    refuse(hosts, client)
    assert errno_of(client.shutdown, how, hosts.now) == errno.ENOTCONN
    for _ in range(2):
        assert errno_of(client.start_connect, hosts.b.address, 5000, hosts.now) == errno.EINVAL
    assert errno_of(client.listen, 1) == errno.EINVAL
    assert poll_events(client) == EVENTS | POLLERR | POLLHUP
    assert client.take_error() == errno.ECONNREFUSED


def test_another_connection_may_follow_a_failure_that_connect_did_not_report(
    hosts: TwoHosts,
) -> None:
    listener, client = listener_of(hosts), hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    listener.accept().close(hosts.now, reset=True)
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert poll_events(client) == EVENTS | POLLERR | POLLHUP
    assert errno_of(client.connect_result, hosts.now) == errno.ECONNRESET
    assert poll_events(client) == POLLOUT
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    assert poll_events(client) == POLLOUT
    client.connect_result(hosts.now)
    server = listener.accept()
    server.close(hosts.now, reset=True)
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert poll_events(client) == EVENTS | POLLERR | POLLHUP


def test_poll_of_what_was_shut_down_without_a_connection(hosts: TwoHosts) -> None:
    for how, events in ((SHUT_RD, EVENTS), (SHUT_WR, POLLOUT), (SHUT_RDWR, EVENTS)):
        sock = hosts.a.socket()
        assert errno_of(sock.shutdown, how, hosts.now) == errno.ENOTCONN
        assert poll_events(sock) == events


def test_shut_rd_of_a_listener_resets_who_waits_and_frees_nothing_else(hosts: TwoHosts) -> None:
    listener = listener_of(hosts)
    client, late = hosts.a.socket(), hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    listener.shutdown(SHUT_WR, hosts.now)
    assert listener.listening
    listener.shutdown(SHUT_RD, hosts.now)
    assert errno_of(listener.accept) == errno.EINVAL
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert errno_of(hosts.a.recv, client, 1) == errno.ECONNRESET
    late.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: late.state is State.CLOSED)
    assert errno_of(hosts.b.socket().bind, 0, 5000) == errno.EADDRINUSE
    listener.listen(1)
    assert errno_of(late.connect_result, hosts.now) == errno.ECONNREFUSED
    late.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))


def test_data_after_both_directions_are_shut_is_answered_by_reset(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    client.shutdown(SHUT_RDWR, hosts.now)
    hosts.run_until(lambda: client.state is State.FIN_WAIT_2)
    hosts.b.send(server, b"no application reads this")
    hosts.run_until(lambda: server.state is State.CLOSED)
    assert hosts.a.stack.tcp.mib.TcpExtTCPAbortOnData == 1
    assert errno_of(hosts.a.recv, client, 1) == errno.ECONNRESET


def test_in_time_wait_a_socket_is_closed_to_its_application(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    client.shutdown(SHUT_WR, hosts.now)
    hosts.run_until(lambda: server.state is State.CLOSE_WAIT)
    server.close(hosts.now)
    hosts.run_until(lambda: client.state is State.CLOSED)
    assert len([*hosts.a.stack.timewait]) == 1
    assert client.peer == (0, 0)
    assert errno_of(client.shutdown, SHUT_RD, hosts.now) == errno.ENOTCONN


def test_a_backlog_of_0_lets_one_in_and_a_negative_one_is_the_most(hosts: TwoHosts) -> None:
    listener = listener_of(hosts, 0)
    for _ in range(3):
        hosts.a.socket().start_connect(hosts.b.address, 5000, hosts.now)
    hosts.rest(5)
    assert len(listener.accept_queue) == 1
    listener.listen(-1)
    assert listener.backlog == SOMAXCONN


def test_the_broadcast_address_is_unreachable_at_once_and_the_lowest_is_a_hosts(hosts: TwoHosts) -> None:
    for text in ("10.0.1.255", "255.255.255.255", "224.0.0.1"):
        assert errno_of(hosts.a.socket().start_connect, ip.address_int(text), 80, 0.0) == errno.ENETUNREACH
    hosts.a.socket().start_connect(ip.address_int("10.0.1.0"), 80, hosts.now)  # since Linux 5.14


def test_urgent_data_is_refused_and_nothing_of_it_is_sent(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    urgent = SendRequest(MSG_OOB, memoryview(b"Z"))
    assert errno_of(sendmsg, client, urgent, 0, hosts.a.netdev.tx_binding, hosts.now) == errno.EOPNOTSUPP
    hosts.a.send(client, b"ordinary")
    hosts.run_until(lambda: server.recv_queue.length > 0)
    assert hosts.b.recv(server, 100) == b"ordinary"
