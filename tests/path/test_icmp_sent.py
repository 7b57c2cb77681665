"""ICMP errors that a host sends; what is expected is what Linux 6.18 sent when it got the same packets."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from nodes.inet.ip_fragment import KEPT_S, KEPT_V6_S
from nodes.wire import ethernet, ip, ipv4, ipv6
from nodes.wire.checksum import fold, internet_checksum, partial_sum, pseudo_header_sum
from nodes.wire.ip import UDP
from tests.path.two_hosts import Frame, TwoHosts

UNKNOWN = 99  # a protocol that no host has
OPTIONS = bytes((1, 4, 0, 0, 0, 0))  # PadN


@dataclass
class Stranger:
    """a by hand, towards b."""

    hosts: TwoHosts

    def ask(self, packet: bytes, bcast: bool = False, wait_s: float = 0.0) -> list[bytes]:
        """What b answers, without Ethernet headers."""
        hosts, answers = self.hosts, list[bytes]()

        def catch(frame: bytes) -> bool:
            answers.append(frame[14:])
            return True

        hosts.to_a.lose = catch
        mac = ethernet.BROADCAST if bcast else hosts.b.device.config.mac
        kind = ethernet.TYPE_IPV6 if packet[0] >> 4 == 6 else ethernet.TYPE_IPV4
        frame = ethernet.emit(mac, hosts.a.device.config.mac, kind) + packet
        hosts.to_b.frames.append(Frame(frame, 0, hosts.now))
        hosts.b.turn()
        if wait_s:
            hosts.rest(wait_s)
        hosts.to_a.lose = lambda _: False
        return answers

    def v4(self, protocol: int, body: bytes, tos: int = 0, dst: int = 0) -> bytes:
        a, b = self.hosts.a, self.hosts.b
        return ipv4.emit(a.address, dst or b.address, protocol, len(body), tos) + body

    def v6(self, protocol: int, body: bytes, dst: int = 0) -> bytes:
        a, b = self.hosts.a, self.hosts.b
        return ipv6.emit(a.address6, dst or b.address6, protocol, len(body)) + body

    def udp6(self) -> bytes:
        a, b = self.hosts.a, self.hosts.b
        datagram = struct.pack("!HHHH", 1111, 2222, 13, 0) + b"hello"
        total = pseudo_header_sum(a.address6, b.address6, UDP, 13) + partial_sum(datagram)
        return datagram[:6] + (~fold(total) & 0xFFFF).to_bytes(2, "big") + datagram[8:]


def udp(data: bytes = b"hello", length: int | None = None, checksum: int = 0) -> bytes:
    size = 8 + len(data) if length is None else length
    return struct.pack("!HHHH", 1111, 2222, size, checksum) + data


@pytest.fixture
def stranger(hosts: TwoHosts) -> Stranger:
    return Stranger(hosts)


@pytest.mark.parametrize(
    ("protocol", "body", "code"),
    [(UDP, udp(), 3), (UDP, udp(b"h" * 1200), 3), (UNKNOWN, b"abcdefgh", 2), (132, b"s" * 32, 2)],
)
def test_ipv4_without_a_taker_is_unreachable(
    stranger: Stranger, protocol: int, body: bytes, code: int
) -> None:
    packet = stranger.v4(protocol, body, tos=0x10)
    (answer,) = stranger.ask(packet)
    found = ipv4.parse(answer, 0, len(answer))
    assert found is not None
    assert (found.src, found.dst) == (stranger.hosts.b.address, stranger.hosts.a.address)
    assert (found.protocol, found.tos, len(answer)) == (ip.ICMP, 0xD0, min(576, 28 + len(packet)))
    message = answer[20:]
    assert (message[0], message[1], message[4:8]) == (3, code, bytes(4))
    assert internet_checksum(message) == 0
    assert message[8:] == packet[:548]
    assert stranger.hosts.b.stack.inet.mib.IcmpOutDestUnreachs == 1


def broken_datagrams() -> list[bytes]:
    return [udp(length=800), udp(length=7), udp(checksum=7), b"short"]


@pytest.mark.parametrize("body", broken_datagrams())
def test_a_broken_datagram_is_not_answered(stranger: Stranger, body: bytes) -> None:
    assert stranger.ask(stranger.v4(UDP, body)) == []
    assert stranger.hosts.b.stack.inet.mib.UdpInErrors == 1


def test_what_went_to_many_or_came_from_no_host_is_not_answered(stranger: Stranger) -> None:
    b = stranger.hosts.b
    network = b.address & ~0xFF
    for dst in (network | 0xFF, 0xFFFFFFFF, 0xE0000001):
        assert stranger.ask(stranger.v4(UDP, udp(), dst=dst), bcast=True) == []
    for src in (0, network | 0xFF, 0xFFFFFFFF, 0xE0000001):
        assert stranger.ask(ipv4.emit(src, b.address, UDP, 13) + udp()) == []
    assert stranger.ask(stranger.v4(2, b"igmp" * 2)) == []
    group = ipv6.emit(ipv6.ALL_NODES, b.address6, UNKNOWN, 8) + bytes(8)
    assert stranger.ask(group) == []


@dataclass
class Case:
    protocol: int
    body: Callable[[Stranger], bytes]
    expected: tuple[int, int, int] | None  # type, code, pointer
    dst: int = 0


def behind(first: int, next_header: int, options: bytes = OPTIONS) -> Case:
    """A UDP datagram, or 8 bytes of another protocol, behind one extension header."""

    def body(stranger: Stranger) -> bytes:
        rest = stranger.udp6() if next_header == UDP else b"abcdefgh"
        return bytes((next_header, 0)) + options + rest

    return Case(first, body, None)


def case(base: Case, expected: tuple[int, int, int] | None, dst: int = 0) -> Case:
    return Case(base.protocol, base.body, expected, dst)


def option(kind: int) -> bytes:
    return bytes((kind, 4, 0, 0, 0, 0))


def routing(kind: int, segments_left: int) -> bytes:
    return bytes((kind, segments_left, 0, 0, 0, 0))


V6_CASES = {
    "no port": Case(UDP, Stranger.udp6, (1, 4, 0)),
    "UDP without checksum": Case(UDP, lambda _: udp(), None),
    "no protocol": Case(UNKNOWN, lambda _: b"abcdefgh", (4, 1, 6)),
    "no protocol behind options": case(behind(60, UNKNOWN), (4, 1, 40)),
    "no next header": Case(59, lambda _: b"", None),
    "option 10": case(behind(60, UDP, option(0x9E)), (4, 2, 42)),
    "option 11": case(behind(60, UDP, option(0xDE)), (4, 2, 42)),
    "option 01": case(behind(60, UDP, option(0x5E)), None),
    "option 10 hop by hop": case(behind(0, UDP, option(0x9E)), (4, 2, 42)),
    "route of type 9": case(behind(43, UDP, routing(9, 1)), (4, 0, 42)),
    "route of type 0": case(behind(43, UDP, routing(0, 1)), (4, 0, 42)),
    "route that has ended": case(behind(43, UDP, routing(9, 0)), (1, 4, 0)),
    "hop by hop, not first": case(behind(60, 0), (4, 1, 40)),
    "fragment of 13 bytes": Case(44, lambda _: bytes((17, 0, 0, 1, 0, 0, 0, 1)) + bytes(13), (4, 0, 4)),
    "fragment too far": Case(44, lambda _: bytes((17, 0, 0xFF, 0xF8, 0, 0, 0, 2)) + bytes(16), (4, 0, 42)),
    "no protocol, to a group": Case(UNKNOWN, lambda _: b"abcdefgh", None, ipv6.ALL_NODES),
    "option 10, to a group": case(behind(60, UDP, option(0x9E)), (4, 2, 42), ipv6.ALL_NODES),
    "option 11, to a group": case(behind(60, UDP, option(0xDE)), None, ipv6.ALL_NODES),
    "an error behind option 10": case(behind(60, 58, option(0x9E)), None),  # 'a' is below 128
}


@pytest.mark.parametrize("name", V6_CASES)
def test_ipv6_is_refused_as_linux_refuses_it(stranger: Stranger, name: str) -> None:
    wanted = V6_CASES[name]
    packet = stranger.v6(wanted.protocol, wanted.body(stranger), wanted.dst)
    answers = stranger.ask(packet)
    if wanted.expected is None:
        assert answers == []
        return
    (answer,) = answers
    found = ipv6.parse(answer, 0, len(answer))
    assert found is not None
    a, b = stranger.hosts.a.address6, stranger.hosts.b.address6
    assert (found.src, found.dst, found.protocol) == (b, a, ip.ICMPV6)
    message = answer[40:]
    assert fold(pseudo_header_sum(b, a, ip.ICMPV6, len(message)) + partial_sum(message)) == 0xFFFF
    assert (message[0], message[1], int.from_bytes(message[4:8], "big")) == wanted.expected
    assert message[8:] == packet


@pytest.mark.parametrize(("v6", "interval_s"), [(False, 1.0), (True, 0.1)])
def test_six_errors_at_once_to_an_address_then_one_an_interval(
    stranger: Stranger, v6: bool, interval_s: float
) -> None:
    packet = (stranger.v6 if v6 else stranger.v4)(UNKNOWN, b"abcdefgh")
    assert sum(len(stranger.ask(packet)) for _ in range(20)) == 6
    stranger.hosts.now += interval_s * 1.01
    assert [len(stranger.ask(packet)) for _ in range(3)] == [1, 0, 0]
    stranger.hosts.now += interval_s * 100
    assert sum(len(stranger.ask(packet)) for _ in range(20)) == 6


def test_fifty_errors_at_once_to_all_addresses(stranger: Stranger) -> None:
    b = stranger.hosts.b
    first = b.address & ~0xFF | 0x100_0000
    packets = [ipv4.emit(first + number, b.address, UNKNOWN, 8) + bytes(8) for number in range(80)]
    assert sum(len(stranger.ask(packet)) for packet in packets) == 50


@pytest.mark.parametrize(("v6", "kept_s"), [(False, KEPT_S), (True, KEPT_V6_S)])
def test_time_exceeded_tells_of_a_first_fragment_alone(stranger: Stranger, v6: bool, kept_s: float) -> None:
    body = b"f" * 16
    if v6:
        packet = stranger.v6(44, bytes((17, 0, 0, 1, 0, 0, 0, 7)) + body)
        later = stranger.v6(44, bytes((17, 0, 0, 9, 0, 0, 0, 8)) + body)
    else:
        a, b = stranger.hosts.a.address, stranger.hosts.b.address
        packet = ipv4.fragments(a, b, UDP, body * 2, 36, 7)[0]
        later = ipv4.fragments(a, b, UDP, body * 2, 36, 8)[1]
    assert stranger.ask(packet, wait_s=kept_s - 1) == []
    assert stranger.ask(later, wait_s=0) == []
    (answer,) = stranger.ask(later, wait_s=kept_s + 1)
    message = answer[40 if v6 else 20 :]
    assert (message[0], message[1], message[8:]) == (3 if v6 else 11, 1, packet)


def test_a_wrong_tcp_checksum_counts_as_in_linux(stranger: Stranger) -> None:
    stranger.hosts.to_b.checksum_good = False
    syn = struct.pack("!HHIIBBHHH", 4000, 5000, 1, 0, 0x50, 2, 9, 0xBAD, 0)
    assert stranger.ask(stranger.v4(ip.TCP, syn)) == []
    assert stranger.ask(stranger.v6(ip.TCP, syn)) == []
    stack = stranger.hosts.b.stack
    assert (stack.tcp.mib.TcpInSegs, stack.tcp.mib.TcpInErrs, stack.inet.mib.TcpInCsumErrors) == (2, 2, 2)
    stranger.hosts.to_b.checksum_good = True
