"""IPv4 identification: a socket counts its packets, and what no socket sends has 0 or another counter."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from random import Random

import pytest

from nodes.inet.ip_ident import IpIdents
from nodes.wire import icmp, ip, ipv4
from nodes.wire.checksum import internet_checksum
from nodes.wire.tcp import ACK, RST, SYN
from tests.path.test_icmp_sent import Stranger
from tests.path.test_icmp_sent import stranger as stranger
from tests.path.two_hosts import TwoHosts

PEER, OURS = 0x0A000001, 0x0A000002


@dataclass
class Seen:
    """Of each TCP packet: flags, identification, payload bytes. Every one has DF."""

    packets: list[tuple[int, int, int]] = field(default_factory=list)

    def look(self, frame: bytes) -> bool:
        if frame[12:14] == b"\x08\x00" and frame[23] == ip.TCP:
            assert int.from_bytes(frame[20:22], "big") == 0x4000
            assert internet_checksum(frame[14:34]) == 0
            payload = len(frame) - 34 - (frame[46] >> 4) * 4
            self.packets.append((frame[47], int.from_bytes(frame[18:20], "big"), payload))
        return False


@pytest.fixture
def seen(hosts: TwoHosts) -> tuple[Seen, Seen]:
    """What a sends, and what b sends."""
    both = Seen(), Seen()
    hosts.to_b.lose, hosts.to_a.lose = both[0].look, both[1].look
    return both


def test_a_connection_counts_its_wire_packets_and_a_syn_ack_has_0(
    hosts: TwoHosts, seen: tuple[Seen, Seen]
) -> None:
    client, server = hosts.connect(5000)
    hosts.a.send(client, bytes(300_000))
    hosts.run_until(lambda: server.recv_queue.length > 40_000)
    first_flags, ident, _ = seen[0].packets[0]
    assert first_flags & (SYN | ACK) == SYN
    for _, found, payload in seen[0].packets:
        assert found == ident
        ident = ident + max(1, -(-payload // 1448)) & 0xFFFF
    assert any(payload > 1448 for *_, payload in seen[0].packets)
    syn_ack, *later = seen[1].packets
    assert syn_ack[:2] == (SYN | ACK, 0)
    assert [each[1] for each in later] == [later[0][1] + n & 0xFFFF for n in range(len(later))]
    assert len(later) > 1
    assert later[0][1] not in (0, 1)


def test_every_connection_begins_anywhere(hosts: TwoHosts, seen: tuple[Seen, Seen]) -> None:
    for port in (5000, 5001, 5002):
        hosts.connect(port)
    begun = [ident for flags, ident, _ in seen[0].packets if flags & SYN]
    assert all(abs(one - other) > 20 for one, other in itertools.combinations(begun, 2))


def test_a_reset_of_no_connection_has_0(hosts: TwoHosts, seen: tuple[Seen, Seen]) -> None:
    hosts.a.socket().start_connect(hosts.b.address, 9, hosts.now)
    hosts.run_until(lambda: bool(seen[1].packets))
    ((flags, ident, _),) = seen[1].packets
    assert (flags & RST, ident) == (RST, 0)


def test_icmp_may_be_fragmented_and_does_not_repeat_its_numbers(stranger: Stranger) -> None:
    a, b = stranger.hosts.a, stranger.hosts.b
    echo = bytearray(b"\x08\0\0\0\0\1\0\1ping")
    echo[2:4] = internet_checksum(bytes(echo)).to_bytes(2, "big")
    unknown = ipv4.emit(a.address, b.address, 200, 8) + bytes(8)
    asked = [ipv4.emit(a.address, b.address, ip.ICMP, len(echo)) + bytes(echo), unknown] * 3
    answers = [answer for packet in asked for answer in stranger.ask(packet)]
    assert [each[20] for each in answers] == [icmp.ECHO_REPLY, icmp.UNREACHABLE] * 3
    assert all(each[6:8] == b"\0\0" and internet_checksum(bytes(each[:20])) == 0 for each in answers)
    idents = [int.from_bytes(each[4:6], "big") for each in answers]
    assert len(set(idents)) == len(idents)


def test_counters_of_other_destinations_tell_nothing() -> None:
    idents = IpIdents(Random(1))
    mine = [idents.select_v4(PEER, OURS, ip.ICMP, 1.0) for _ in range(3)]
    assert mine == [mine[0] + n & 0xFFFF for n in range(3)]
    others = [idents.select_v4(PEER + n, OURS, ip.ICMP, 1.0) for n in range(1, 100)]
    assert len(set(others)) > 90
    assert idents.select_v4(PEER, OURS, ip.ICMP, 1.0) == mine[2] + 1 & 0xFFFF
    jumps = {idents.select_v4(PEER, OURS, ip.ICMP, 10.0 * n) for n in range(1, 20)}
    assert len(jumps) == 19


def test_the_identification_of_a_fragmented_ipv6_packet_is_never_0() -> None:
    idents = IpIdents(Random(2))
    found = {idents.select_v6() for _ in range(1000)}
    assert len(found) == 1000
    assert 0 not in found
