"""Options of the IP layer: TTL and hop limit sent and required, ICMP errors kept or reported."""

from __future__ import annotations

import errno
import socket
from socket import AF_INET, AF_INET6, AddressFamily

import pytest

from nodes.sock.sockopt import get_option, set_option
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from nodes.wire import icmp, icmpv6
from tests.path.test_icmp_errors import Router
from tests.path.test_sockets import errno_of
from tests.path.test_tcp_options import give, take
from tests.path.two_hosts import TwoHosts

IP, IPV6, SOL = socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET
TTL = {AF_INET: (IP, socket.IP_TTL), AF_INET6: (IPV6, socket.IPV6_UNICAST_HOPS)}
MIN_TTL = {AF_INET: (IP, uapi.IP_MINTTL), AF_INET6: (IPV6, uapi.IPV6_MINHOPCOUNT)}
RECVERR = {AF_INET: (IP, uapi.IP_RECVERR), AF_INET6: (IPV6, uapi.IPV6_RECVERR)}
FAMILIES = pytest.mark.parametrize("family", [AF_INET, AF_INET6])


@FAMILIES
def test_every_packet_has_the_ttl_of_the_option(hosts: TwoHosts, family: AddressFamily) -> None:
    seen: list[int] = []
    at = 14 + (7 if family == AF_INET6 else 8)

    def look(frame: bytes) -> bool:
        if frame[12:14] != b"\x08\x06":
            seen.append(frame[at])
        return False

    hosts.to_b.lose = look
    client, _ = hosts.connect(5000, family=family)
    assert set(seen) - {255} == {64}  # neighbour discovery has 255
    seen.clear()
    give(client, *TTL[family], 9)
    hosts.a.send(client, b"not far")
    hosts.rest(0.01)
    assert set(seen) == {9}
    give(client, *TTL[family], -1)
    assert take(client, *TTL[family]) == (64,)


@FAMILIES
def test_hop_limits_have_the_kernels_range(hosts: TwoHosts, family: AddressFamily) -> None:
    """As this machine's Linux answered; test_sockets_options_as_linux.py asks it again for IPv4."""
    sock = hosts.a.socket(family)
    for value in (-2, 256, *((0,) if family == AF_INET else ())):
        assert errno_of(give, sock, *TTL[family], value) == errno.EINVAL
    for value in (-1, -2, 256):
        assert errno_of(give, sock, *MIN_TTL[family], value) == errno.EINVAL
    give(sock, *MIN_TTL[family], 255)
    assert take(sock, *MIN_TTL[family]) == (255,)
    if family == AF_INET6:
        give(sock, *TTL[family], 0)
        assert errno_of(set_option, sock, *TTL[family], b"\7") == errno.EINVAL
        give(sock, *TTL[AF_INET], 7)
        assert take(sock, *TTL[AF_INET]) == (7,)
    else:
        assert errno_of(give, sock, *TTL[AF_INET6], 7) == errno.ENOPROTOOPT


def test_options_of_ipv4_take_one_byte_and_nothing_for_0(hosts: TwoHosts) -> None:
    """As this machine's Linux answered; IP_TTL and IP_MINTTL alone want a value."""
    sock = hosts.a.socket(AF_INET)
    for option in (uapi.IP_RECVERR, uapi.IP_MTU_DISCOVER, socket.IP_RECVTOS, socket.IP_TTL, uapi.IP_MINTTL):
        set_option(sock, IP, option, b"\1")
        assert take(sock, IP, option) == (1,)
        if option in (socket.IP_TTL, uapi.IP_MINTTL):
            assert errno_of(set_option, sock, IP, option, b"") == errno.EINVAL
        else:
            set_option(sock, IP, option, b"")
            assert take(sock, IP, option) == (0,)


@FAMILIES
def test_a_packet_with_less_than_the_required_ttl_is_dropped(hosts: TwoHosts, family: AddressFamily) -> None:
    client, server = hosts.connect(5000, family=family)
    give(server, *MIN_TTL[family], 64)
    give(client, *TTL[family], 63)
    hosts.a.send(client, b"from afar")
    hosts.rest(0.05)
    assert server.recv_queue.length == 0
    assert hosts.b.stack.tcp.mib.TcpExtTCPMinTTLDrop > 0
    give(client, *TTL[family], 64)
    hosts.run_until(lambda: server.recv_queue.length == 9, 10)


@FAMILIES
def test_a_listener_does_not_answer_from_afar(hosts: TwoHosts, family: AddressFamily) -> None:
    listener = hosts.b.socket(family)
    give(listener, *MIN_TTL[family], 255)
    listener.bind(0, 5000)
    listener.listen(1)
    client = hosts.a.socket(family)
    client.start_connect(hosts.b.address6 if family == AF_INET6 else hosts.b.address, 5000, hosts.now)
    hosts.rest(2.0)
    assert client.state is State.SYN_SENT, "neither accepted nor refused"
    give(client, *TTL[family], 255)
    hosts.run_until(lambda: bool(listener.accept_queue), 10)
    assert take(listener.accept_queue[0], *MIN_TTL[family]) == (255,)


@FAMILIES
def test_an_icmp_error_is_remembered_for_so_error(hosts: TwoHosts, family: AddressFamily) -> None:
    router = Router(hosts)
    client, _ = hosts.connect(5000, family=family)
    router.swallow()
    hosts.a.send(client, b"on its way")
    hosts.rest(0.01)
    router.complain(*((icmpv6.UNREACHABLE, 3) if family == AF_INET6 else (icmp.UNREACHABLE, 1)))
    assert client.pending_error == 0
    assert take(client, SOL, socket.SO_ERROR) == (errno.EHOSTUNREACH,)
    assert take(client, SOL, socket.SO_ERROR) == (0,)
    router.pass_on()


@FAMILIES
def test_with_recverr_an_icmp_error_fails_the_next_call(hosts: TwoHosts, family: AddressFamily) -> None:
    """And the connection goes on."""
    router = Router(hosts)
    client, server = hosts.connect(5000, family=family)
    give(client, *RECVERR[family], 1)
    router.swallow()
    hosts.a.send(client, b"on its way")
    hosts.rest(0.01)
    router.complain(*((icmpv6.TIME_EXCEEDED, 0) if family == AF_INET6 else (icmp.TIME_EXCEEDED, 0)))
    assert errno_of(hosts.a.recv, client, 1) == errno.EHOSTUNREACH
    router.pass_on()
    hosts.run_until(lambda: server.recv_queue.length == 10, 10)
    hosts.a.send(client, b"and on")
    mib = hosts.a.stack.inet.mib
    assert mib.IcmpInTimeExcds + mib.Icmp6InTimeExcds == 1


def test_the_mtu_of_a_path_is_known_once_connected(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    assert take(client, IP, uapi.IP_MTU) == (1500,)
    assert errno_of(give, client, IP, uapi.IP_MTU, 1400) == errno.ENOPROTOOPT
    alone = hosts.a.socket(AF_INET6)
    assert errno_of(get_option, alone, IPV6, uapi.IPV6_MTU) == errno.ENOTCONN


def test_a_value_of_level_ip_fits_a_byte_where_there_is_no_room_for_an_int(
    hosts: TwoHosts,
) -> None:
    """do_ip_getsockopt. An MTU does not fit, and is cut."""
    client, _ = hosts.connect(5000)
    found = [len(get_option(client, IP, uapi.IP_MTU_DISCOVER, room)) for room in (1, 2, 3, 4, 8)]
    assert found == [1, 1, 1, 4, 4]
    assert [get_option(client, IP, uapi.IP_MTU, room)[:room] for room in (1, 3)] == [b"\xdc", b"\xdc\x05\0"]


def test_options_that_change_nothing_are_stored(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    for number in (socket.SO_BROADCAST, socket.SO_OOBINLINE):
        give(sock, SOL, number, 5)
        assert take(sock, SOL, number) == (1,)
    assert errno_of(give, sock, SOL, uapi.SO_BUSY_POLL, 50) == errno.EPERM
    assert errno_of(give, sock, SOL, uapi.SO_BUSY_POLL, -1) == errno.EINVAL
    set_option(sock, SOL, uapi.SO_BUSY_POLL, (50).to_bytes(4, "little"), privileged=True)
    give(sock, SOL, uapi.SO_BUSY_POLL, 20)
    assert take(sock, SOL, uapi.SO_BUSY_POLL) == (20,)
