"""SIOCINQ, SIOCOUTQ and SIOCOUTQNSD of two stacks, as tcp_ioctl of Linux answers them."""

from __future__ import annotations

import errno

import pytest

from nodes.sock.tcp_ioctl import tcp_ioctl
from nodes.uapi.socket import SIOCINQ, SIOCOUTQ, SIOCOUTQNSD
from tests.path.two_hosts import TwoHosts


def test_bytes_unread_unacknowledged_and_unsent_are_told(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    hosts.to_b.lose = lambda _: True
    hosts.a.send(client, bytes(1000))
    hosts.rest(0.001)
    assert [tcp_ioctl(client, each) for each in (SIOCINQ, SIOCOUTQ, SIOCOUTQNSD)] == [0, 1000, 0]
    hosts.a.send(client, bytes(400_000))  # more than the first window
    hosts.rest(0.001)
    unsent = tcp_ioctl(client, SIOCOUTQNSD)
    assert tcp_ioctl(client, SIOCOUTQ) == 401_000 > unsent > 0
    hosts.to_b.lose = lambda _: False
    hosts.rest(3)
    left = tcp_ioctl(client, SIOCOUTQ)
    assert tcp_ioctl(server, SIOCINQ) == 401_000 - left > 0


def test_a_fin_counts_until_it_is_acknowledged(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    hosts.to_b.lose = lambda _: True
    client.shutdown(1, hosts.now)
    assert (tcp_ioctl(client, SIOCOUTQ), tcp_ioctl(client, SIOCOUTQNSD)) == (1, 1)
    hosts.rest(0.001)
    assert (tcp_ioctl(client, SIOCOUTQ), tcp_ioctl(client, SIOCOUTQNSD)) == (1, 0)
    hosts.to_b.lose = lambda _: False
    hosts.rest(3)
    assert tcp_ioctl(client, SIOCOUTQ) == 0


def test_a_socket_without_a_connection_has_no_bytes_and_a_listener_refuses(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    assert [tcp_ioctl(sock, each) for each in (SIOCINQ, SIOCOUTQ, SIOCOUTQNSD)] == [0, 0, 0]
    sock.start_connect(hosts.b.address, 5000, hosts.now)
    assert tcp_ioctl(sock, SIOCOUTQ) == 0
    listener = hosts.b.socket()
    listener.listen(1)
    for request, number in ((SIOCOUTQ, errno.EINVAL), (SIOCINQ, errno.EINVAL), (0x5421, errno.ENOTTY)):
        with pytest.raises(OSError) as refused:
            tcp_ioctl(listener, request)
        assert refused.value.errno == number
