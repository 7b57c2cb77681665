"""Socket options that act on a living connection, on the wire, or tell what the host knows."""

from __future__ import annotations

import errno
import re
import socket
import struct
from pathlib import Path
from socket import AF_INET, AF_INET6

import pytest

from nodes.kernel_version import VERSIONS
from nodes.nic.net_device import NAPI_ID_MIN
from nodes.sock import sockopt
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option, set_option
from nodes.tcp.congestion.newreno import NewReno
from nodes.tcp.segment import ECT0
from nodes.tcp.state import State
from nodes.uapi import socket as uapi
from nodes.wire import ip, ipv4, ipv6
from tests.path.conftest import assert_nothing_left
from tests.path.test_sockets import errno_of
from tests.path.test_tcp_options import give, take
from tests.path.two_hosts import DeviceKind, TwoHosts

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
MIB = 1 << 20


def exchange(hosts: TwoHosts, client: DevmemSocket, server: DevmemSocket, size: int) -> None:
    hosts.a.send(client, bytes(size))
    hosts.run_until(lambda: server.recv_queue.length == size)
    hosts.b.recv(server, size)
    hosts.rest(0.1)


def test_another_congestion_control_goes_on_with_the_windows(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    exchange(hosts, client, server, 60_000)
    assert client.connection is not None
    before = client.connection.info()
    assert (before.congestion, before.snd_cwnd > 10) == ("cubic", True)
    set_option(client, TCP, socket.TCP_CONGESTION, b"newreno")
    assert get_option(client, TCP, socket.TCP_CONGESTION) == b"reno".ljust(16, b"\0")
    after = client.connection.info()
    assert (after.congestion, after.snd_cwnd, after.snd_ssthresh) == ("reno", before.snd_cwnd, 0x7FFFFFFF)
    exchange(hosts, client, server, 60_000)
    sender = client.connection.tcb.sender
    assert type(sender.control) is NewReno
    assert sender.recovery.control is sender.control
    assert errno_of(set_option, client, TCP, socket.TCP_CONGESTION, b"bbr") == errno.ENOENT


def test_a_control_chosen_while_connecting_holds(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(1)
    client = hosts.a.socket()
    client.start_connect(hosts.b.address, 5000, hosts.now)
    set_option(client, TCP, socket.TCP_CONGESTION, b"reno")
    give(client, SOL, socket.SO_KEEPALIVE, 1)
    hosts.run_until(lambda: bool(listener.accept_queue))
    assert client.connection is not None
    assert client.connection.info().congestion == "reno"
    assert client.connection.tcb.keepalive is not None


def test_buffers_of_a_living_connection_change_at_once(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    give(client, SOL, socket.SO_SNDBUF, 10_000)
    give(server, SOL, socket.SO_RCVBUF, 20_000)
    assert take(client, SOL, socket.SO_SNDBUF) == (20_000,)
    assert take(server, SOL, socket.SO_RCVBUF) == (40_000,)
    skb = 65160 // 2 // 1448 * 1448  # whole segments of half the peer's window
    assert hosts.a.send(client, bytes(MIB)) == skb
    hosts.rest(0.1)
    assert hosts.a.send(client, bytes(MIB)) == skb
    hosts.rest(0.1)
    give(client, SOL, socket.SO_SNDBUF, MIB)
    assert hosts.a.send(client, bytes(MIB)) == MIB
    hosts.rest(3)
    # What was promised with the SYN-ACK stays promised; beyond that only the new buffer counts.
    assert 40_000 <= server.recv_queue.length <= 65535 + 1024  # the edge is a multiple of the window scale
    give(server, SOL, socket.SO_RCVBUF, 4 * MIB)
    hosts.run_until(lambda: server.recv_queue.length == MIB + 2 * skb)


@pytest.mark.parametrize(("family", "level", "option"), [
    (AF_INET, socket.IPPROTO_IP, socket.IP_TOS), (AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
])  # fmt: skip
def test_the_traffic_class_is_on_every_packet_and_ecn_stays_tcps(
    hosts: TwoHosts, family: int, level: int, option: int
) -> None:
    seen: set[int] = set()

    def look(frame: bytes) -> bool:
        parse = ipv6.parse if family == AF_INET6 else ipv4.parse
        found = parse(frame, 14, len(frame) - 14) if frame[12:14] != b"\x08\x06" else None
        if found is not None and found.protocol == ip.TCP:
            seen.add(found.tos)
        return False

    client, server = hosts.connect(5000, family=family)
    hosts.rest(0.1)
    hosts.to_b.lose = look
    give(client, level, option, 0xBB)
    assert take(client, level, option) == (0xB8,)
    exchange(hosts, client, server, 10_000)
    assert seen in ({0xB8}, {0xB8, 0xB8 | ECT0})


def test_the_napi_id_is_that_of_the_queue_the_packets_came_by(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    assert take(hosts.a.socket(), SOL, uapi.SO_INCOMING_NAPI_ID) == (0,)
    before = [queue.counters.rx_packets for queue in hosts.b.device.rx_queues]
    exchange(hosts, client, server, 10_000)
    after = [queue.counters.rx_packets for queue in hosts.b.device.rx_queues]
    (queue,) = [number for number, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
    assert take(server, SOL, uapi.SO_INCOMING_NAPI_ID) == (NAPI_ID_MIN + queue,)
    v6_client, _ = hosts.connect(5001, family=AF_INET6)
    assert take(v6_client, SOL, uapi.SO_INCOMING_NAPI_ID)[0] >= NAPI_ID_MIN
    hosts.b.device.first_napi_id = NAPI_ID_MIN + 100  # as of a host's second device
    assert take(server, SOL, uapi.SO_INCOMING_NAPI_ID) == (NAPI_ID_MIN + 100 + queue,)


def test_a_segment_size_asked_for_is_announced_and_kept_to(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    listener.listen(1)
    client = hosts.a.socket()
    give(client, TCP, socket.TCP_MAXSEG, 500)
    assert take(client, TCP, socket.TCP_MAXSEG) == (500,)
    client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: bool(listener.accept_queue))
    server = listener.accept()
    hosts.b.sockets.append(server)
    for sock in (client, server):
        assert take(sock, TCP, socket.TCP_MAXSEG) == (488,)  # less the timestamps


def test_a_listener_that_defers_wants_data_before_a_connection_or_time(hosts: TwoHosts) -> None:
    listener = hosts.b.socket()
    listener.bind(0, 5000)
    give(listener, TCP, socket.TCP_DEFER_ACCEPT, 3)
    listener.listen(4)
    talks, silent = hosts.a.socket(), hosts.a.socket()
    for client in (talks, silent):
        client.start_connect(hosts.b.address, 5000, hosts.now)
    hosts.run_until(lambda: talks.state is silent.state is State.ESTABLISHED)
    hosts.rest(0.5)
    assert not listener.accept_queue
    assert hosts.b.stack.inet.mib.TcpExtTCPDeferAcceptDrop == 2
    hosts.a.send(talks, b"me first")
    hosts.run_until(lambda: bool(listener.accept_queue), 1)
    server = listener.accept()
    hosts.b.sockets.append(server)
    assert hosts.b.recv(server, 100) == b"me first"
    hosts.run_until(lambda: bool(listener.accept_queue), 4)


def test_without_quickack_acknowledgements_wait(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    waited = {}
    for quick in (1, 0):
        give(server, TCP, socket.TCP_QUICKACK, quick)
        begun = hosts.now
        hosts.a.send(client, b"x")
        hosts.run_until(lambda: client.bytes_sent == getattr(client.connection, "bytes_acked", 0))
        waited[quick] = hosts.now - begun
    assert waited[1] < 0.01 < 0.04 <= waited[0]


@pytest.mark.parametrize(("option", "value"), [
    (socket.SO_MARK, 1), (socket.SO_PRIORITY, 7), (uapi.SO_RCVBUFFORCE, MIB), (uapi.SO_SNDBUFFORCE, MIB),
])  # fmt: skip
def test_what_is_the_administrators_is_eperm_to_others(hosts: TwoHosts, option: int, value: int) -> None:
    sock, body = hosts.a.socket(), struct.pack("=i", value)
    with pytest.raises(PermissionError, match="CAP_NET_ADMIN"):
        set_option(sock, SOL, option, body)
    set_option(sock, SOL, option, body, privileged=True)
    if option in (socket.SO_MARK, socket.SO_PRIORITY):
        assert take(sock, SOL, option) == (value,)


def test_rcvlowat_is_held_to_half_of_the_buffer_and_minus_one_is_all_of_that(hosts: TwoHosts) -> None:
    sock = hosts.a.socket()
    give(sock, SOL, socket.SO_RCVBUF, 50_000)
    for wanted, have in ((-1, 50_000), (1 << 30, 50_000), (0, 1), (7, 7)):
        give(sock, SOL, socket.SO_RCVLOWAT, wanted)
        assert take(sock, SOL, socket.SO_RCVLOWAT) == (have,)


@pytest.mark.parametrize("name", VERSIONS)
def test_tcp_info_is_as_long_as_the_kernels_and_counts_wire_packets(name: str) -> None:
    two = TwoHosts(kind=DeviceKind(kernel=VERSIONS[name]))
    client, server = two.connect(5000)
    exchange(two, client, server, 60_000)
    raw = {s: get_option(s, TCP, socket.TCP_INFO, 500, two.now) for s in (client, server)}
    assert {len(each) for each in raw.values()} == {248 if name in ("v17", "6.12", "6.16") else 280}
    data_segs_in, data_segs_out = struct.unpack_from("=2I", raw[client], 152)
    assert (data_segs_in, data_segs_out) == (0, -(-60_000 // 1448))
    assert struct.unpack_from("=2I", raw[server], 152) == (data_segs_out, 0)
    (delivery_rate,) = struct.unpack_from("=Q", raw[client], 160)
    assert 60_000 / 0.1 < delivery_rate < 60_000 / 0.001  # a round trip takes 1 ms
    last_sent, _, last_received, last_ack = struct.unpack_from("=4I", raw[server], 44)
    assert all(90 <= age <= 110 for age in (last_sent, last_received, last_ack))  # sent: since the handshake
    assert_nothing_left(two)


def test_tcp_info_counts_on_after_2_to_the_32_segments(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    assert client.connection is not None
    output = client.connection.tcb.output
    output.segs_out = output.data_segs_out = (1 << 32) - 1
    exchange(hosts, client, server, 4 * 1448)
    raw = get_option(client, TCP, socket.TCP_INFO, 500, hosts.now)
    assert struct.unpack_from("=I", raw, 136) == (3,)
    assert struct.unpack_from("=2I", raw, 152) == (0, 3)


def test_tcp_info_tells_that_the_send_buffer_was_the_limit(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000)
    give(client, SOL, socket.SO_SNDBUF, 5000)
    assert client.connection is not None
    room = client.connection.send_room
    assert hosts.a.send(client, bytes(room)) == room
    hosts.rest(0.1)
    assert limited(hosts, client) == (0, 0)  # nobody has found the buffer full
    hosts.b.recv(server, room)
    taken = hosts.a.send(client, bytes(100_000))
    assert 10_000 <= taken < 100_000
    assert errno_of(hosts.a.send, client, b"x") == errno.EAGAIN
    hosts.rest(0.1)
    rwnd, sndbuf = limited(hosts, client)
    assert rwnd == 0
    assert 1_000 <= sndbuf < 50_000  # a round trip takes 1 ms
    hosts.b.recv(server, taken)


def limited(hosts: TwoHosts, sock: DevmemSocket) -> tuple[int, ...]:
    """Microseconds in which the peer's window, and the send buffer, were the limit."""
    return struct.unpack_from("=2Q", get_option(sock, TCP, socket.TCP_INFO, 500, hosts.now), 176)


@pytest.mark.parametrize("seconds", [1 << 62, (1 << 63) - 1])
@pytest.mark.parametrize("option", [uapi.SO_RCVTIMEO, uapi.SO_SNDTIMEO])
def test_a_timeout_that_no_clock_counts_is_for_ever(hosts: TwoHosts, option: int, seconds: int) -> None:
    sock = hosts.a.socket()
    for given in ((5, 250_000), (seconds, 999_999)):
        set_option(sock, SOL, option, struct.pack("=2q", *given))
    assert get_option(sock, SOL, option, 16) == bytes(16)
    set_option(sock, SOL, option, struct.pack("=2q", (1 << 63) // 1000 - 2, 0))
    assert get_option(sock, SOL, option, 16) != bytes(16)


def test_the_documents_table_has_exactly_the_options_that_exist() -> None:
    text = (Path(__file__).parents[2] / "docs/devmem.md").read_text()
    section = text.partition("## Socket options")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    levels = {"SO": SOL, "TCP": TCP, "IP": socket.IPPROTO_IP, "IPV6": socket.IPPROTO_IPV6}
    documented = {
        (levels[name.partition("_")[0]], getattr(uapi if hasattr(uapi, name) else socket, name))
        for row in rows
        for name in re.findall(r"\w+", row)
    }
    assert documented == set(sockopt._TABLE_V6)
