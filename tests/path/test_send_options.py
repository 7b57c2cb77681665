"""Options of what leaves: TCP_NOTSENT_LOWAT, MSG_MORE and MSG_EOR, TCP_THIN_LINEAR_TIMEOUTS, path MTUs."""

from __future__ import annotations

import socket
from select import POLLOUT
from socket import AF_INET, AF_INET6

import pytest

from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sendmsg import SendRequest, sendmsg
from nodes.sock.tcp_poll import poll_events
from nodes.uapi import socket as uapi
from tests.path.test_tcp_options import give, take
from tests.path.two_hosts import TwoHosts

TCP = socket.IPPROTO_TCP
MIB = 1 << 20


def test_with_notsent_lowat_little_waits_unsent_and_pollout_says_so(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    read = b""
    assert client.connection is not None
    give(client, TCP, uapi.TCP_NOTSENT_LOWAT, 10_000)
    assert take(client, TCP, uapi.TCP_NOTSENT_LOWAT) == (10_000,)
    taken = hosts.a.send(client, bytes(MIB))
    full = client.connection.tcb.sender.gso_max_bytes
    assert 14480 + 10_000 <= taken <= 14480 + 10_000 + full  # the initial window leaves at once
    assert not poll_events(client) & POLLOUT
    with pytest.raises(BlockingIOError):
        hosts.a.send(client, b"x")
    hosts.run_until(lambda: bool(poll_events(client) & POLLOUT), 1)
    assert 2 * client.connection.unsent_bytes < 10_000
    give(client, TCP, uapi.TCP_NOTSENT_LOWAT, 0)
    assert hosts.a.send(client, bytes(MIB)) == MIB
    assert poll_events(client) & POLLOUT
    while taken + MIB > len(read):
        hosts.run_until(lambda: server.recv_queue.length > 0)
        read += hosts.b.recv(server, MIB)


def test_a_socket_tells_its_waiters_when_unsent_bytes_have_left(hosts: TwoHosts) -> None:
    """Without an ACK: a peer's window that opens is enough."""
    client, server = hosts.connect(5000)
    give(client, TCP, uapi.TCP_NOTSENT_LOWAT, 1000)
    hosts.a.send(client, bytes(500))
    hosts.a.stack.changed.clear()
    hosts.a.turn()
    assert client in hosts.a.stack.changed
    hosts.run_until(lambda: server.recv_queue.length == 500)
    hosts.rest(0.1)


def test_msg_more_holds_and_msg_eor_parts_what_a_call_ends_with(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    give(client, TCP, socket.TCP_NODELAY, 1)
    flagged(hosts, client, uapi.MSG_MORE)
    hosts.rest(0.05)
    assert server.recv_queue.length == 0
    flagged(hosts, client, 0)
    hosts.rest(0.05)
    assert server.recv_queue.length == 20
    assert client.connection is not None
    before = client.connection.info().data_segs_out
    for flags in (uapi.MSG_EOR, 0):
        flagged(hosts, client, flags)
    hosts.rest(0.05)
    assert client.connection.info().data_segs_out == before + 2  # one, but for MSG_EOR


def flagged(hosts: TwoHosts, sock: DevmemSocket, flags: int) -> None:
    request = SendRequest(flags, memoryview(bytes(10)))
    assert sendmsg(sock, request, 0, hosts.a.netdev.tx_binding, hosts.now) == 10


@pytest.mark.parametrize(("linear", "least"), [(0, 10.0), (1, 1.0)])
def test_timeouts_of_a_thin_stream_need_not_back_off(hosts: TwoHosts, linear: int, least: float) -> None:
    client, _ = hosts.connect(5000)
    give(client, TCP, uapi.TCP_THIN_LINEAR_TIMEOUTS, linear)
    hosts.to_b.lose = lambda _: True
    begun = hosts.now
    hosts.a.send(client, b"x")
    assert client.connection is not None
    timer = client.connection.tcb.write_timer
    hosts.run_until(lambda: timer.retransmits == 6, 60)
    assert least < hosts.now - begun < 2 * least + 5
    hosts.to_b.lose = lambda _: False
    hosts.rest(30)


def test_path_mtus_of_ipv6_are_an_option_of_its_own(hosts: TwoHosts) -> None:
    for family, level, option in (
        (AF_INET6, socket.IPPROTO_IPV6, uapi.IPV6_MTU_DISCOVER),
        (AF_INET, socket.IPPROTO_IP, uapi.IP_MTU_DISCOVER),
    ):
        client, _ = hosts.connect(5000 + family, family=family)
        assert take(client, level, option) == (uapi.IP_PMTUDISC_WANT,)
        assert client.options.accepts_path_mtu(family == AF_INET6)
        give(client, level, option, uapi.IP_PMTUDISC_OMIT)
        assert take(client, level, option) == (uapi.IP_PMTUDISC_OMIT,)
        assert not client.options.accepts_path_mtu(family == AF_INET6)
