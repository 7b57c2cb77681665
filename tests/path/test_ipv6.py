"""TCP over IPv6 between two whole stacks: what is the same as over IPv4, and what is not."""

from __future__ import annotations

import errno
import random
import struct
from socket import AF_INET, AF_INET6

import pytest

from nodes.machine.routes import totals
from nodes.nic.flow_steering import NtupleRule
from nodes.nic.wire_port import TxOffload
from nodes.skb import LinearFrags
from nodes.sock.devmem_socket import DevmemSocket
from nodes.sock.sockopt import get_option, set_option
from nodes.tcp.state import State
from nodes.wire import ethernet, icmpv6, ip, ipv6, ndisc, tcp
from nodes.wire.checksum import partial_sum, pseudo_header_sum
from tests.path.conftest import assert_nothing_left
from tests.path.test_sockets import errno_of
from tests.path.two_hosts import DEVMEM_PORT, DEVMEM_QUEUE, Impairment, PathHost, TwoHosts

MIB = 1 << 20
IPPROTO_IPV6, IPV6_V6ONLY = 41, 26
ON = b"\1\0\0\0"


@pytest.mark.parametrize("impairment", [Impairment(), Impairment(0.03, 0.05, 0.05)], ids=["clean", "bad"])
def test_an_ipv6_stream_goes_from_dmabuf_to_dmabuf_not_through_host_memory(
    impairment: Impairment,
) -> None:
    two = TwoHosts(6, impairment)
    content = random.Random(6).randbytes(2 * MIB + 77)
    _, tx_id = two.a.bind_tx(content)
    memory = two.b.bind_rx(16 * MIB)
    two.b.device.steering.insert(NtupleRule(DEVMEM_QUEUE, dst_port=DEVMEM_PORT, address_bytes=16), None)
    client, server = two.connect(DEVMEM_PORT, family=AF_INET6)
    client.options.zerocopy = True
    received, sent = bytearray(), 0

    def pump() -> bool:
        nonlocal sent
        if sent < len(content) and client.connection and client.connection.send_room:
            sent += two.a.send_devmem(client, tx_id, (sent, len(content) - sent))
        if server.recv_queue.length:
            _, cmsgs = two.b.recv_devmem(server, MIB)
            for c in cmsgs:
                received.extend(memory.view[c.frag_offset : c.frag_offset + c.frag_size])
            two.b.dontneed(server, *(c.frag_token for c in cmsgs))
        return len(received) == len(content)

    two.run_until(pump)
    assert bytes(received) == content
    assert two.b.device.rx_queues[DEVMEM_QUEUE].counters.rx_packets > 0
    for host in (two.a, two.b):
        t = totals(host.ledger.snapshot())
        assert t.host_dram_read_bytes + t.host_dram_write_bytes == t.header_host_dram_bytes
    memory.close()
    assert_nothing_left(two)


def test_segments_over_ipv6_are_twenty_bytes_shorter_and_announced_so(hosts: TwoHosts) -> None:
    frames: list[bytes] = []

    def keep(frame: bytes) -> bool:
        frames.append(frame)
        return False

    hosts.to_b.lose = keep
    hosts.connect(5000, family=AF_INET6)
    syns = [frame for frame in frames if frame[12:14] == b"\x86\xdd" and frame[20] == ip.TCP]
    header, _ = tcp.parse(syns[0], 54)
    assert header.mss == 1440
    assert not header.flags & tcp.ACK


def test_names_of_both_ends_are_known_on_both_sides(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000, family=AF_INET6)
    assert client.local[0] == server.remote[0] == hosts.a.address6
    assert client.remote == server.local == (hosts.b.address6, 5000)


# --- dual stack


def listen(host: PathHost, family: int, v6only: bool = False) -> DevmemSocket:
    listener = host.socket(family)
    if v6only:
        assert set_option(listener, IPPROTO_IPV6, IPV6_V6ONLY, ON) == 0
    listener.bind(0, 5000)
    listener.listen(8)
    return listener


def connect(hosts: TwoHosts, family: int, address: int) -> DevmemSocket:
    """To port 5000 of b; connected or failed."""
    client = hosts.a.socket(family)
    client.start_connect(address, 5000, hosts.now)
    connection = client.connection
    assert connection is not None
    hosts.run_until(lambda: connection.state in (State.ESTABLISHED, State.CLOSED), 10)
    return client


def test_a_listener_of_ipv6_accepts_both_versions(hosts: TwoHosts) -> None:
    listener = listen(hosts.b, AF_INET6)
    connect(hosts, AF_INET, hosts.b.address).connect_result(hosts.now)
    connect(hosts, AF_INET6, hosts.b.address6).connect_result(hosts.now)
    connect(hosts, AF_INET6, hosts.b.address).connect_result(hosts.now)  # ::ffff:10.0.1.2
    hosts.run_until(lambda: len(listener.accept_queue) == 3, 10)
    children = [listener.accept() for _ in range(3)]
    hosts.b.sockets += children
    assert [ip.mapped_text(child.remote[0]) for child in children] == [
        "::ffff:10.0.1.1", "2001:db8::1", "::ffff:10.0.1.1",
    ]  # fmt: skip
    assert {child.family for child in children} == {AF_INET6}


def test_with_ipv6_only_the_other_version_is_refused(hosts: TwoHosts) -> None:
    listen(hosts.b, AF_INET6, v6only=True)
    connect(hosts, AF_INET6, hosts.b.address6).connect_result(hosts.now)
    refused = connect(hosts, AF_INET, hosts.b.address)
    assert errno_of(refused.connect_result, hosts.now) == errno.ECONNREFUSED


def test_ipv6_only_lets_a_listener_of_ipv4_have_the_same_port(hosts: TwoHosts) -> None:
    six, four = listen(hosts.b, AF_INET6, v6only=True), listen(hosts.b, AF_INET)
    connect(hosts, AF_INET6, hosts.b.address6).connect_result(hosts.now)
    connect(hosts, AF_INET, hosts.b.address).connect_result(hosts.now)
    hosts.run_until(lambda: bool(six.accept_queue and four.accept_queue), 10)
    children = [listener.accept() for listener in (six, four)]
    hosts.b.sockets += children
    assert [child.family for child in children] == [AF_INET6, AF_INET]
    assert not six.accept_queue
    assert not four.accept_queue


@pytest.mark.parametrize("order", [(AF_INET, AF_INET6), (AF_INET6, AF_INET)])
def test_a_dual_stack_socket_takes_the_port_of_both(hosts: TwoHosts, order: tuple[int, int]) -> None:
    listen(hosts.b, order[0])
    assert errno_of(hosts.b.socket(order[1]).bind, 0, 5000) == errno.EADDRINUSE


def test_a_socket_with_ipv6_only_reaches_no_mapped_address(hosts: TwoHosts) -> None:
    sock = hosts.a.socket(AF_INET6)
    assert set_option(sock, IPPROTO_IPV6, IPV6_V6ONLY, ON) == 0
    assert get_option(sock, IPPROTO_IPV6, IPV6_V6ONLY) == ON
    assert errno_of(sock.start_connect, hosts.b.address, 5000, 0.0) == errno.ENETUNREACH


def test_ipv6_only_is_decided_before_bind_and_unknown_to_ipv4(hosts: TwoHosts) -> None:
    sock = hosts.a.socket(AF_INET6)
    sock.bind(0, 5000)
    assert errno_of(set_option, sock, IPPROTO_IPV6, IPV6_V6ONLY, ON) == errno.EINVAL
    assert errno_of(set_option, hosts.a.socket(), IPPROTO_IPV6, IPV6_V6ONLY, ON) == errno.ENOPROTOOPT


# --- neighbours and ICMPv6


def from_a(hosts: TwoHosts, packet: bytes, to: bytes | None = None) -> None:
    """A packet of IPv6 arrives at b."""
    ends = to or hosts.b.device.config.mac, hosts.a.device.config.mac
    hosts.a.device.wire.send(ethernet.emit(*ends, ethernet.TYPE_IPV6) + packet, [], TxOffload())


def answers(hosts: TwoHosts) -> list[bytes]:
    """What b sends to a from now on until it rests; a never sees it."""
    found: list[bytes] = []

    def keep(frame: bytes) -> bool:
        found.append(frame)
        return True

    hosts.to_a.lose = keep
    hosts.rest(0.01)
    hosts.to_a.lose = lambda _: False
    return found


def solicitation(hosts: TwoHosts, src: int, hop_limit: int = 255) -> bytes:
    """Who has b's address? To b's solicited-node group."""
    group = ipv6.solicited_node(hosts.b.address6)
    mac = hosts.a.device.config.mac if src else None
    message = icmpv6.with_checksum(ndisc.emit(ndisc.Solicitation(hosts.b.address6, mac)), src, group)
    return ipv6.emit(src, group, ip.ICMPV6, len(message), 0, hop_limit) + message


def test_a_solicitation_is_answered_to_its_sender(hosts: TwoHosts) -> None:
    from_a(hosts, solicitation(hosts, hosts.a.address6))
    (frame,) = answers(hosts)
    found = ipv6.parse(frame, 14, len(frame) - 14)
    assert found is not None
    assert (frame[:6], found.dst, found.ttl) == (hosts.a.device.config.mac, hosts.a.address6, 255)
    assert icmpv6.checksum_good(frame[54:], found.src, found.dst)
    b = hosts.b
    wanted = ndisc.Advertisement(b.address6, b.device.config.mac, solicited=True, override=True)
    assert ndisc.parse(frame[54:]) == wanted


def test_a_neighbour_that_tries_our_address_hears_that_it_is_taken(hosts: TwoHosts) -> None:
    from_a(hosts, solicitation(hosts, 0))
    (frame,) = answers(hosts)
    assert frame[:6] == bytes.fromhex("333300000001")
    packet = ndisc.parse(frame[54:])
    assert isinstance(packet, ndisc.Advertisement)
    assert not packet.solicited


def test_a_solicitation_that_came_through_a_router_is_no_solicitation(hosts: TwoHosts) -> None:
    from_a(hosts, solicitation(hosts, hosts.a.address6, hop_limit=254))
    assert answers(hosts) == []


def test_an_unsolicited_advertisement_teaches_nothing(hosts: TwoHosts) -> None:
    packet = ndisc.Advertisement(ip.address_int("2001:db8::9"), b"\2" * 6, solicited=False, override=True)
    message = icmpv6.with_checksum(ndisc.emit(packet), hosts.a.address6, hosts.b.address6)
    header = ipv6.emit(hosts.a.address6, hosts.b.address6, ip.ICMPV6, len(message), 0, 255)
    from_a(hosts, header + message)
    hosts.rest(0.01)
    assert not hosts.b.link.neighbours.concerns(packet.target)


@pytest.mark.parametrize("length", [0, 1, 56, 1000])
def test_echo_is_answered_and_damage_is_not(hosts: TwoHosts, length: int) -> None:
    data = random.Random(length).randbytes(length)
    request = icmpv6.with_checksum(
        bytes((128, 0, 0, 0, 0, 1, 0, 2)) + data, hosts.a.address6, hosts.b.address6
    )
    header = ipv6.emit(hosts.a.address6, hosts.b.address6, ip.ICMPV6, len(request))
    from_a(hosts, header + request)
    (frame,) = answers(hosts)
    assert frame[54] == 129
    assert frame[58:] == request[4:]
    assert icmpv6.checksum_good(frame[54:], hosts.b.address6, hosts.a.address6)
    from_a(hosts, header + request[:-1] + bytes((request[-1] ^ 1,)))
    assert answers(hosts) == []
    assert (hosts.b.stack.inet.mib.Icmp6InCsumErrors, hosts.b.stack.inet.mib.Icmp6InEchos) == (1, 1)


# --- what the NIC cannot split


def segment(hosts: TwoHosts, client: DevmemSocket, data: bytes, extension: bytes, damage: int = 0) -> bytes:
    """The next segment of `client`, behind an extension header (its first byte is filled in here)."""
    frames: list[bytes] = []

    def keep(frame: bytes) -> bool:
        frames.append(frame)
        return True

    hosts.to_b.lose = keep
    hosts.a.send(client, data)
    hosts.a.stack.transmit(hosts.now)
    hosts.to_b.lose = lambda _: False
    (frame,) = frames
    l4 = bytearray(frame[54:])
    l4[16:18] = b"\0\0"
    pseudo = pseudo_header_sum(hosts.a.address6, hosts.b.address6, ip.TCP, len(l4))
    total = pseudo + partial_sum(bytes(l4))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    l4[16:18] = (~total & 0xFFFF ^ damage).to_bytes(2, "big")
    kind, body = extension[0], bytes((ip.TCP,)) + extension[1:]
    header = ipv6.emit(hosts.a.address6, hosts.b.address6, kind, len(body) + len(l4))
    return header + body + bytes(l4)


DESTINATION_OPTIONS = bytes((60, 0, 1, 4, 0, 0, 0, 0))  # PadN
ATOMIC_FRAGMENT = bytes((44, 0, 0, 0, 0, 0, 0, 7))


@pytest.mark.parametrize("extension", [DESTINATION_OPTIONS, ATOMIC_FRAGMENT], ids=["options", "atomic"])
def test_payload_behind_extension_headers_arrives_in_the_linear_part(
    hosts: TwoHosts, extension: bytes
) -> None:
    memory = hosts.b.bind_rx(MIB)
    client, server = hosts.connect(DEVMEM_PORT, family=AF_INET6)
    from_a(hosts, segment(hosts, client, b"linear part", extension))
    hosts.run_until(lambda: server.recv_queue.length == 11, 5)
    (payload,) = server.recv_queue._queue
    assert isinstance(payload, LinearFrags)
    assert not payload.unreadable
    assert hosts.b.recv(server, 100) == b"linear part"
    memory.close()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_segment_in_two_fragments_is_put_together_verified_and_delivered(
    hosts: TwoHosts, order: tuple[int, int]
) -> None:
    client, server = hosts.connect(5000, family=AF_INET6)
    packet = segment(hosts, client, b"put together", DESTINATION_OPTIONS)
    l4 = packet[48:]
    pieces = []
    for start, end in ((0, 24), (24, len(l4))):
        fragment = struct.pack("!BBHI", ip.TCP, 0, start | (end < len(l4)), 99)
        header = ipv6.emit(hosts.a.address6, hosts.b.address6, ipv6.FRAGMENT, 8 + end - start)
        pieces.append(header + fragment + l4[start:end])
    for number in order:
        from_a(hosts, pieces[number])
    hosts.run_until(lambda: server.recv_queue.length == 12, 5)
    assert hosts.b.recv(server, 100) == b"put together"
    assert hosts.b.stack.inet.mib.Ip6ReasmOKs == 1


def test_what_the_nic_could_not_verify_is_verified_by_the_stack(hosts: TwoHosts) -> None:
    client, server = hosts.connect(5000, family=AF_INET6)
    hosts.to_b.checksum_good = False
    from_a(hosts, segment(hosts, client, b"damaged", DESTINATION_OPTIONS, damage=1))
    hosts.rest(0.01)
    hosts.to_b.checksum_good = True
    assert server.recv_queue.length == 0
    assert hosts.b.stack.inet.mib.TcpInCsumErrors == 1


@pytest.mark.parametrize(
    "extension",
    [
        bytes((60, 0, 0xC1, 4, 0, 0, 0, 0)),  # an option that says: discard me if you do not know me
        bytes((43, 0, 0, 1, 0, 0, 0, 0)),  # a route that is not at its end
    ],
    ids=["option", "route"],
)
def test_what_extension_headers_forbid_is_dropped_and_counted(hosts: TwoHosts, extension: bytes) -> None:
    client, server = hosts.connect(5000, family=AF_INET6)
    from_a(hosts, segment(hosts, client, b"never", extension))
    hosts.rest(0.01)
    assert server.recv_queue.length == 0
    assert hosts.b.stack.inet.mib.Ip6InHdrErrors == 1
