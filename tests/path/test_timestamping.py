"""SO_TIMESTAMPING and TCP_INQ: what recvmsg and the error queue tell beside the data."""

from __future__ import annotations

import errno
import select
import socket
import struct

import pytest

from nodes.endpoint.poll_file import Notifier, PollFile
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.recvmsg import Received, RecvRequest, recvmsg
from nodes.sock.sendmsg import SendRequest, sendmsg, sent
from nodes.sock.sockopt import get_option, set_option
from nodes.uapi import socket as uapi
from tests.path.test_poll_file import edges
from tests.path.test_sockets import errno_of
from tests.path.test_tcp_options import give, take
from tests.path.two_hosts import TwoHosts

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
ALL_TX = uapi.SOF_TIMESTAMPING_TX_SCHED | uapi.SOF_TIMESTAMPING_TX_SOFTWARE | uapi.SOF_TIMESTAMPING_TX_ACK
KEYED = uapi.SOF_TIMESTAMPING_OPT_ID | uapi.SOF_TIMESTAMPING_OPT_TSONLY
RX = uapi.SOF_TIMESTAMPING_RX_SOFTWARE | uapi.SOF_TIMESTAMPING_SOFTWARE


def receive(hosts: TwoHosts, sock: DevmemSocket, length: int, flags: int = 0) -> Received:
    return recvmsg(sock, RecvRequest(length, 100, flags, memoryview(bytearray(length))), hosts.now)


def stamp(got: Received) -> float:
    """The software stamp, which is alone."""
    ((level, kind, body),) = got.control
    assert (level, kind, len(body)) == (SOL, uapi.SCM_TIMESTAMPING, 48)
    seconds, nanoseconds, *others = struct.unpack("=6q", body)
    assert others == [0, 0, 0, 0]
    return float(seconds + nanoseconds / 1e9)


def deliver(hosts: TwoHosts, pair: tuple[DevmemSocket, DevmemSocket], data: bytes) -> float:
    """Send `data`; returns when it was there."""
    length = pair[1].recv_queue.length + len(data)
    hosts.a.send(pair[0], data)
    hosts.run_until(lambda: pair[1].recv_queue.length == length)
    at = hosts.now
    hosts.rest(0.1)
    return at


def test_a_read_tells_when_its_last_byte_came(hosts: TwoHosts) -> None:
    pair = client, server = hosts.connect(5000)
    server.timestamping.realtime = 1.7e9
    deliver(hosts, pair, b"before")
    give(server, SOL, uapi.SO_TIMESTAMPING, RX)
    first, second = (1.7e9 + deliver(hosts, pair, data) for data in (b"one", b"two"))
    assert second > first + 0.1
    assert receive(hosts, server, 6).control == ()  # it came before anybody asked
    assert stamp(receive(hosts, server, 4, uapi.MSG_PEEK)) == pytest.approx(second, abs=1e-4)
    assert stamp(receive(hosts, server, 2)) == pytest.approx(first, abs=1e-4)
    assert stamp(receive(hosts, server, 1)) == pytest.approx(first, abs=1e-4)
    assert stamp(receive(hosts, server, 3)) == pytest.approx(second, abs=1e-4)
    give(server, SOL, uapi.SO_TIMESTAMPING, uapi.SOF_TIMESTAMPING_RX_SOFTWARE)
    deliver(hosts, pair, b"not reported")
    assert receive(hosts, server, 100).control == ()
    assert client.timestamping.flags == 0


def events(sock: DevmemSocket) -> list[tuple[int, int, float]]:
    """(kind, key, when) of the stamps in the error queue."""
    found = []
    for event in iter(sock.errqueue.read, None):
        extended_err, at = event.extended_err, event.at
        assert (extended_err.ee_errno, extended_err.ee_origin) == (errno.ENOMSG, 4)
        assert at is not None
        found.append((extended_err.ee_info, extended_err.ee_data, at))
    return found


def test_a_send_tells_when_its_last_byte_left_and_was_acknowledged(hosts: TwoHosts) -> None:
    pair = client, server = hosts.connect(5000)
    deliver(hosts, pair, bytes(100))
    give(client, SOL, uapi.SO_TIMESTAMPING, ALL_TX | KEYED | uapi.SOF_TIMESTAMPING_SOFTWARE)
    begun = hosts.now
    assert hosts.a.send(client, bytes(40_000)) == 40_000
    hosts.rest(0.2)
    sched, snd, ack = events(client)
    assert [each[:2] for each in (sched, snd, ack)] == [(1, 39_999), (0, 39_999), (2, 39_999)]
    assert begun + 0.001 <= sched[2] == snd[2] < ack[2] - 0.0009 < begun + 0.05  # round trips of 1 ms
    deliver(hosts, pair, b"x")
    assert [each[1] for each in events(client)] == [40_000] * 3
    hosts.b.recv(server, 200_000)


def test_a_call_may_ask_for_stamps_of_its_own(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    give(client, SOL, uapi.SO_TIMESTAMPING, uapi.SOF_TIMESTAMPING_SOFTWARE | uapi.SOF_TIMESTAMPING_OPT_TSONLY)
    for tsflags, kinds in ((-1, []), (uapi.SOF_TIMESTAMPING_TX_ACK, [2]), (0, [])):
        request = SendRequest(0, memoryview(b"abc"), tsflags=tsflags)
        sent(client, request, sendmsg(client, request, 0, hosts.a.netdev.tx_binding, hosts.now))
        hosts.rest(0.1)
        assert [(kind, key) for kind, key, _ in events(client)] == [(kind, 0) for kind in kinds]


def test_each_stamp_is_a_new_edge_of_pollerr(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    give(client, SOL, uapi.SO_TIMESTAMPING, uapi.SOF_TIMESTAMPING_TX_ACK)
    file, epoll = PollFile(Notifier(), client), select.epoll()
    epoll.register(file.fd, select.EPOLLET)
    for number in (1, 2):
        hosts.a.send(client, b"x")
        hosts.run_until(lambda: client.errqueue.queued == number, 5)  # noqa: B023
        file.update()
        assert edges(epoll) & select.EPOLLERR
        assert edges(epoll) == 0
    epoll.close()
    file.close()


@pytest.mark.parametrize("flags", [
    1 << 19, uapi.SOF_TIMESTAMPING_OPT_STATS, uapi.SOF_TIMESTAMPING_OPT_ID_TCP,
    uapi.SOF_TIMESTAMPING_BIND_PHC,
])  # fmt: skip
def test_what_is_not_stamped_here_is_einval(hosts: TwoHosts, flags: int) -> None:
    client, _ = hosts.connect(5000)
    assert errno_of(give, client, SOL, uapi.SO_TIMESTAMPING, flags) == errno.EINVAL
    assert take(client, SOL, uapi.SO_TIMESTAMPING) == (0,)


def test_bytes_are_numbered_from_what_is_acknowledged_or_written(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    assert errno_of(give, sock, SOL, uapi.SO_TIMESTAMPING, KEYED) == errno.EINVAL  # no connection
    client, _ = hosts.connect(5000)
    for flag, key in ((0, 9), (uapi.SOF_TIMESTAMPING_OPT_ID_TCP, 4)):
        give(client, SOL, uapi.SO_TIMESTAMPING, 0)
        hosts.a.send(client, b"12345")
        give(client, SOL, uapi.SO_TIMESTAMPING, KEYED | flag | uapi.SOF_TIMESTAMPING_TX_ACK)
        hosts.a.send(client, b"67890")
        hosts.rest(0.1)
        assert [each[1] for each in events(client)] == [key]


def test_inq_tells_how_much_is_left_and_that_the_end_is(hosts: TwoHosts) -> None:
    pair = client, server = hosts.connect(5000)
    give(server, TCP, uapi.TCP_INQ, 1)
    deliver(hosts, pair, b"abcdef")
    left = [receive(hosts, server, count).control[-1] for count in (2, 3)]
    assert left == [(TCP, uapi.TCP_CM_INQ, struct.pack("=i", each)) for each in (4, 1)]
    client.shutdown(1, hosts.now)
    hosts.rest(0.1)
    assert receive(hosts, server, 10).control == ((TCP, uapi.TCP_CM_INQ, struct.pack("=i", 1)),)
    set_option(server, TCP, uapi.TCP_INQ, struct.pack("=i", 0))
    assert receive(hosts, server, 10).control == ()
    assert get_option(server, TCP, uapi.TCP_INQ) == bytes(4)


STATS = uapi.SOF_TIMESTAMPING_OPT_STATS | uapi.SOF_TIMESTAMPING_OPT_TSONLY | uapi.SOF_TIMESTAMPING_SOFTWARE
# The attributes that Linux 6.18 gave, in their order, and the bytes of each; 26 (TCP_NLA_TTL) with an ACK.
KINDS = [*range(1, 13), 15, 16, 17, 13, 14, *range(18, 26), 27]
SIZES = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 8, 11: 1, 12: 1, 14: 1, 18: 8, 19: 8, 23: 2, 25: 8, 26: 1}


def attributes(data: bytes) -> dict[int, int]:
    """By TCP_NLA_*, in order."""
    found, at = dict[int, int](), 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        assert length - 4 == SIZES.get(kind, 4)
        found[kind] = int.from_bytes(data[at + 4 : at + length], "little")
        at += length + 3 & ~3
    assert at == len(data)
    return found


def test_with_opt_stats_a_stamp_brings_the_connections_statistics(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    give(client, SOL, uapi.SO_TIMESTAMPING, ALL_TX | STATS)
    begun = hosts.now
    hosts.a.send(client, bytes(1000))
    hosts.rest(0.2)
    sched, snd, ack = (client.errqueue.read() for _ in range(3))
    assert sched is not None
    assert snd is not None
    assert ack is not None
    left, acked = attributes(snd.data), attributes(ack.data)
    assert sched.data == snd.data
    assert [*left] == KINDS
    assert [*acked] == [*KINDS[:-1], 26, 27]
    assert (left[4], left[18], left[13], left[24], left[16]) == (1, 1000, 1000, 0, 1)
    assert (acked[13], acked[16], acked[8], acked[26]) == (0, 2, 10, 64)
    assert acked[15] == 0x7FFFFFFF
    assert client.connection is not None
    assert acked[22] == client.connection.info().rtt_us > 900  # TCP_NLA_SRTT
    assert left[25] == acked[25]  # TCP_NLA_EDT, nanoseconds
    assert begun * 1e9 - 1e3 <= left[25] <= (begun + 0.01) * 1e9
    stamp, stats = client.timestamping.control(ack.at, ack.data)
    assert stamp[1] == uapi.SCM_TIMESTAMPING
    assert stats == (SOL, uapi.SCM_TIMESTAMPING_OPT_STATS, ack.data)


def test_statistics_are_no_control_message_where_stamps_are_not_reported(hosts: TwoHosts) -> None:
    client, _ = hosts.connect(5000)
    give(client, SOL, uapi.SO_TIMESTAMPING, uapi.SOF_TIMESTAMPING_TX_ACK | STATS & ~16)
    hosts.a.send(client, b"x")
    hosts.rest(0.2)
    event = client.errqueue.read()
    assert event is not None
    assert event.data
    assert client.timestamping.control(event.at, event.data) == ()
