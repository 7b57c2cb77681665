"""ICMP errors about our own packets: which are believed, and what they do to a connection."""

from __future__ import annotations

import errno
import socket
import struct
from socket import AF_INET, AF_INET6

import pytest

from nodes.inet.path_mtu import CACHE_MAX, EXPIRES_S, MIN_V4, PathMtus, bounded
from nodes.nic.wire_port import TxOffload
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import set_option
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from nodes.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6
from nodes.wire.icmp import IcmpError
from tests.path.test_sockets import errno_of
from tests.path.two_hosts import TwoHosts

V4_ERRORS = [
    (icmp.UNREACHABLE, 0, errno.ENETUNREACH),
    (icmp.UNREACHABLE, 1, errno.EHOSTUNREACH),
    (icmp.UNREACHABLE, 2, errno.ENOPROTOOPT),
    (icmp.UNREACHABLE, 3, errno.ECONNREFUSED),
    (icmp.UNREACHABLE, 5, errno.EOPNOTSUPP),
    (icmp.UNREACHABLE, 13, errno.EHOSTUNREACH),
    (icmp.TIME_EXCEEDED, 0, errno.EHOSTUNREACH),
    (icmp.PARAMETER_PROBLEM, 0, errno.EPROTO),
]
V6_ERRORS = [
    (icmpv6.UNREACHABLE, 0, errno.ENETUNREACH),
    (icmpv6.UNREACHABLE, 1, errno.EACCES),
    (icmpv6.UNREACHABLE, 3, errno.EHOSTUNREACH),
    (icmpv6.UNREACHABLE, 4, errno.ECONNREFUSED),
    (icmpv6.TIME_EXCEEDED, 0, errno.EHOSTUNREACH),
    (icmpv6.PARAMETER_PROBLEM, 1, errno.EPROTO),
]


class Router:
    """Keeps what a sends to b, and tells a of it."""

    def __init__(self, hosts: TwoHosts) -> None:
        self.hosts = hosts
        self.kept: list[bytes] = []

    def swallow(self) -> None:
        """From now on nothing of TCP passes."""

        def keep(frame: bytes) -> bool:
            v6 = frame[12:14] == b"\x86\xdd"
            if frame[20 if v6 else 23] != ip.TCP or frame[12:14] == b"\x08\x06":
                return False
            self.kept.append(frame)
            return True

        self.hosts.to_b.lose = keep

    def pass_on(self) -> None:
        self.hosts.to_b.lose = lambda _: False

    def complain(self, kind: int, code: int, mtu: int = 0, seq_offset: int = 0, frame: int = -1) -> None:
        """About the last packet kept, whose sequence number is quoted wrong by `seq_offset`."""
        packet = bytearray(self.kept[frame][14:])
        v6 = packet[0] >> 4 == 6
        at = 44 if v6 else 24
        (seq,) = struct.unpack_from("!I", packet, at)
        struct.pack_into("!I", packet, at, seq + seq_offset & 0xFFFFFFFF)
        error = IcmpError(kind, code, mtu, bytes(packet))
        a, b = self.hosts.a, self.hosts.b
        ends = a.device.config.mac, b.device.config.mac
        if v6:
            message = icmpv6.emit_error(error, b.address6, a.address6)
            header = ipv6.emit(b.address6, a.address6, ip.ICMPV6, len(message))
            frame_bytes = ethernet.emit(*ends, ethernet.TYPE_IPV6) + header + message
        else:
            message = icmp.emit_error(error)
            header = ipv4.emit(b.address, a.address, ip.ICMP, len(message))
            frame_bytes = ethernet.emit(*ends, ethernet.TYPE_IPV4) + header + message
        b.device.wire.send(frame_bytes, [], TxOffload())
        self.hosts.rest(0.01)


@pytest.fixture
def router(hosts: TwoHosts) -> Router:
    return Router(hosts)


def connecting(router: Router, family: int) -> DevmemSocket:
    """A client of a whose SYN was swallowed."""
    hosts = router.hosts
    hosts.connect(5000, family=family)  # MACs are known
    router.swallow()
    client = hosts.a.socket(family)
    address = hosts.b.address6 if family == AF_INET6 else hosts.b.address
    client.start_connect(address, 5001, hosts.now)
    hosts.rest(0.01)
    return client


def state_of(sock: DevmemSocket) -> State:
    assert sock.connection is not None
    return sock.connection.state


@pytest.mark.parametrize(("kind", "code", "number"), V4_ERRORS)
def test_an_attempt_to_connect_fails_with_the_errno_of_linux(
    router: Router, kind: int, code: int, number: int
) -> None:
    client = connecting(router, AF_INET)
    router.complain(kind, code)
    assert errno_of(client.connect_result, router.hosts.now) == number


@pytest.mark.parametrize(("kind", "code", "number"), V6_ERRORS)
def test_an_attempt_over_ipv6_fails_with_the_errno_of_linux(
    router: Router, kind: int, code: int, number: int
) -> None:
    client = connecting(router, AF_INET6)
    router.complain(kind, code)
    assert errno_of(client.connect_result, router.hosts.now) == number


@pytest.mark.parametrize("seq_offset", [-1, 1, 2**31])
@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
def test_an_error_that_quotes_what_is_not_in_flight_is_counted_only(
    router: Router, family: int, seq_offset: int
) -> None:
    client = connecting(router, family)
    router.complain(icmp.UNREACHABLE if family == AF_INET else icmpv6.UNREACHABLE, 1, seq_offset=seq_offset)
    assert state_of(client) is State.SYN_SENT
    assert router.hosts.a.stack.inet.mib.TcpExtOutOfWindowIcmps == 1
    router.pass_on()


def test_an_error_about_no_connection_of_ours_is_counted(router: Router) -> None:
    client = connecting(router, AF_INET)
    client.close(router.hosts.now)
    router.hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 3)
    assert router.hosts.a.stack.inet.mib.IcmpInErrors == 1


def test_an_established_connection_goes_on_and_remembers_until_an_ack(router: Router) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000)
    router.swallow()
    hosts.a.send(client, b"on its way")
    hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 1)
    assert state_of(client) is State.ESTABLISHED
    router.pass_on()
    assert client.soft_error == errno.EHOSTUNREACH
    hosts.run_until(lambda: server.recv_queue.length == 10, 10)
    hosts.rest(0.1)
    assert client.soft_error == 0
    router.swallow()
    hosts.a.send(client, b"never")
    hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 1)
    hosts.run_until(lambda: state_of(client) is State.CLOSED, 2000)
    router.pass_on()
    assert errno_of(hosts.a.recv, client, 1) == errno.EHOSTUNREACH  # not ETIMEDOUT


@pytest.mark.parametrize(("family", "mtu", "mss"), [(AF_INET, 1000, 948), (AF_INET6, 1300, 1228)])
def test_packets_get_smaller_when_the_path_says_so_and_larger_after_ten_minutes(
    router: Router, family: int, mtu: int, mss: int
) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000, family=family)
    router.swallow()
    content = bytes(range(256)) * 40
    hosts.a.send(client, content)
    hosts.rest(0.01)
    kind, code = (icmpv6.PACKET_TOO_BIG, 0) if family == AF_INET6 else (icmp.UNREACHABLE, 4)
    router.complain(kind, code, mtu, frame=0)
    assert client.connection is not None
    assert client.connection.info().snd_mss == mss
    router.pass_on()
    hosts.run_until(lambda: server.recv_queue.length == len(content), 10)
    assert hosts.b.recv(server, len(content)) == content
    later, _ = hosts.connect(5002, family=family)
    assert later.connection is not None
    assert later.connection.info().snd_mss == mss
    hosts.rest(EXPIRES_S - 1)
    assert [each.connection.info().snd_mss for each in (client, later) if each.connection] == [mss] * 2
    hosts.rest(2)
    full = 1500 - (60 if family == AF_INET6 else 40) - 12
    assert [each.connection.info().snd_mss for each in (client, later) if each.connection] == [full] * 2
    hosts.a.send(client, content)
    hosts.run_until(lambda: server.recv_queue.length == len(content), 10)
    assert hosts.b.recv(server, len(content)) == content


@pytest.mark.parametrize("choice", range(uapi.IP_PMTUDISC_OMIT + 1))
def test_ip_mtu_discover_decides_about_df_and_smaller_packets(router: Router, choice: int) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000)
    set_option(client, socket.IPPROTO_IP, uapi.IP_MTU_DISCOVER, bytes([choice]))
    router.swallow()
    hosts.a.send(client, bytes(5000))
    hosts.rest(0.01)
    df = bool(router.kept[0][20] & 0x40)
    assert df == (choice in (uapi.IP_PMTUDISC_WANT, uapi.IP_PMTUDISC_DO))
    router.complain(icmp.UNREACHABLE, 4, 1000)
    assert client.connection is not None
    assert client.connection.info().snd_mss == (948 if df or choice == uapi.IP_PMTUDISC_PROBE else 1448)
    router.pass_on()
    hosts.run_until(lambda: server.recv_queue.length == 5000, 10)
    later, _ = hosts.connect(5002)
    assert later.connection is not None
    assert later.connection.info().snd_mss == 948  # the path is narrow whoever found out


@pytest.mark.parametrize("choice", range(uapi.IP_PMTUDISC_OMIT + 1))
def test_ipv6_mtu_discover_decides_whether_a_router_is_heard(router: Router, choice: int) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000, family=AF_INET6)
    set_option(client, socket.IPPROTO_IPV6, uapi.IPV6_MTU_DISCOVER, struct.pack("=i", choice))
    router.swallow()
    hosts.a.send(client, bytes(5000))
    hosts.rest(0.01)
    router.complain(icmpv6.PACKET_TOO_BIG, 0, 1300)
    mss = 1228 if choice <= uapi.IP_PMTUDISC_PROBE else 1428
    assert client.connection is not None
    assert client.connection.info().snd_mss == mss
    router.pass_on()
    hosts.run_until(lambda: server.recv_queue.length == 5000, 10)
    later, _ = hosts.connect(5002, family=AF_INET6)
    assert later.connection is not None
    assert later.connection.info().snd_mss == mss


def test_an_attacker_cannot_shrink_packets_by_guessing(router: Router) -> None:
    client, server = router.hosts.connect(5000)
    router.swallow()
    router.hosts.a.send(client, bytes(5000))
    router.hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 4, 600, seq_offset=100_000)
    assert client.connection is not None
    assert client.connection.info().snd_mss == 1448
    router.pass_on()
    router.hosts.run_until(lambda: server.recv_queue.length == 5000, 10)


def test_a_path_is_remembered_for_ten_minutes_and_no_more_of_them_than_fit() -> None:
    known = PathMtus()
    known.learn(1, 1000, 0.0)
    assert known.limit(1, 1500, EXPIRES_S - 1) == 1000
    assert known.limit(1, 900, 0.0) == 900
    assert known.limit(2, 1500, 0.0) == 1500
    assert known.limit(1, 1500, EXPIRES_S) == 1500
    for address in range(CACHE_MAX + 1):
        known.learn(address, 1000, 0.0)
    assert known.limit(0, 1500, 0.0) == 1500
    assert known.limit(CACHE_MAX, 1500, 0.0) == 1000


def test_a_limit_that_goes_to_make_room_holds_for_no_connection_any_more(router: Router) -> None:
    hosts = router.hosts
    client, server = hosts.connect(5000)
    router.swallow()
    hosts.a.send(client, bytes(5000))
    hosts.rest(0.01)
    router.complain(icmp.UNREACHABLE, 4, 1000, frame=0)
    assert client.connection is not None
    assert client.connection.info().snd_mss == 948
    router.pass_on()
    paths = hosts.a.stack.inet.path_mtus
    for address in range(CACHE_MAX):
        paths.learn(address, 1000, hosts.now)
    hosts.run_until(lambda: server.recv_queue.length == 5000, 10)
    assert client.connection.info().snd_mss == 1448
    assert paths.limit(hosts.b.address, 1500, hosts.now) == 1500


def test_no_report_makes_packets_tiny() -> None:
    assert bounded(ip.address_int("10.0.0.1"), 0) == MIN_V4 == 552
    assert bounded(ip.address_int("2001:db8::1"), 100) == 1280
