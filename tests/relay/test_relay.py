"""A link's middle between two fake ports: what passes, when, and as what."""

from __future__ import annotations

import dataclasses
import random
import struct

import pytest

from nodes.nic.gilbert_elliott import GilbertElliott
from nodes.nic.impairment import ImpairmentConfig
from nodes.nic.wire_frame import WireFrame
from nodes.relay.arrival import NEEDS_CSUM, VNET, Arrival, vnet_header
from nodes.relay.config import RelayConfig, RelayConfigError, RelayWay, decode, encode
from nodes.relay.relay import Relay
from nodes.wire import ipv4, tcp
from nodes.wire.checksum import fold, internet_checksum, partial_sum, pseudo_header_sum
from tests.nic.frames import OUR_IP, PEER_IP, Tcp, arp_request, udp

MSS = 1000
NOW = 50.0
_GSO_TCPV4, _GSO_TCPV6, _GSO_UDP_L4 = 1, 4, 5


class Port:
    """A fake one: `waiting` frames come, `sent` is what went out; `forwarded` of that was not copied."""

    def __init__(self) -> None:
        self.waiting: list[Arrival] = []
        self.sent: list[tuple[bytes, bytes]] = []
        self.forwarded = 0

    def receive(self) -> Arrival | None:
        return self.waiting.pop(0) if self.waiting else None

    def forward(self, arrival: Arrival) -> None:
        self.forwarded += 1
        self.sent.append((bytes(arrival.vnet), bytes(arrival.data)))

    def send(self, frame: WireFrame) -> None:
        self.sent.append((vnet_header(frame), bytes(frame.data)))


class Link:
    def __init__(self, seed: int = 1, **impairment: float) -> None:
        self.ports = Port(), Port()
        way = RelayWay(impairment=ImpairmentConfig(**impairment, seed=seed))  # type: ignore[arg-type]
        self.relay = Relay(RelayConfig(interfaces=("w1-eth0", "w1-eth1"), ways=(way, way)), self.ports)

    def arrive(self, frame: bytes, vnet: bytes = bytes(VNET.size), number: int = 0, at: float = NOW) -> None:
        self.ports[number].waiting.append(Arrival(bytearray(vnet), memoryview(bytearray(frame)), at))
        self.relay.receive(number)

    def sent(self, number: int = 1) -> list[bytes]:
        return [frame for _, frame in self.ports[number].sent]


def partial(payload: bytes) -> tuple[bytes, bytes]:
    """A TCP frame whose checksum is left to the NIC, a super-packet if it is long, and its virtio_net_hdr."""
    frame = bytearray(Tcp(payload).frame())
    frame[50:52] = pseudo_header_sum(PEER_IP, OUR_IP, ipv4.TCP, len(frame) - 34).to_bytes(2, "big")
    gso = (_GSO_TCPV4, MSS) if len(payload) > MSS else (0, 0)
    return bytes(frame), VNET.pack(NEEDS_CSUM, gso[0], 54, gso[1], 34, tcp.CHECKSUM_OFFSET)


def test_a_frame_that_nothing_happens_to_is_forwarded_from_its_buffer() -> None:
    link = Link(loss=1e-9)
    frame, vnet = partial(bytes(5 * MSS))
    link.arrive(frame, vnet)
    link.arrive(arp_request(), number=1)
    assert link.ports[1].sent == [(vnet, frame)]
    assert link.sent(0) == [arp_request()]
    assert (link.ports[0].forwarded, link.ports[1].forwarded) == (1, 1)
    assert link.relay.next_timeout() is None


def test_a_frame_comes_to_the_other_end_a_delay_after_the_kernel_saw_it() -> None:
    link = Link(delay=0.005)
    frame, vnet = partial(bytes(5 * MSS))
    link.arrive(frame, vnet, at=NOW - 0.002)  # it was read late
    link.arrive(arp_request(), number=1, at=NOW)
    assert link.relay.next_timeout() == pytest.approx(NOW + 0.003)
    link.relay.send_due(NOW + 0.0029)
    assert link.ports[1].sent == []
    link.relay.send_due(NOW + 0.0031)
    assert link.ports[1].sent == [(vnet, frame)]
    assert link.sent(0) == []
    link.relay.send_due(NOW + 0.0051)
    assert link.sent(0) == [arp_request()]


def test_a_frame_that_is_kept_is_a_copy() -> None:
    link = Link(delay=0.005)
    link.arrive(arp_request())
    arrival = Arrival(bytearray(VNET.size), memoryview(bytearray(arp_request())), NOW)
    link.ports[0].waiting.append(arrival)
    link.relay.receive(0)
    arrival.data[:] = bytes(len(arrival.data))  # the next frame's
    link.relay.send_due(NOW + 1)
    assert link.sent() == [arp_request(), arp_request()]


def lost(seed: int, number: int) -> list[int]:
    """Which of 200 frames do not arrive."""
    link = Link(seed, loss=0.1)
    for each in range(200):
        link.arrive(Tcp(bytes(100), seq=each).frame(), number=number)
        link.relay.send_due(NOW)
    arrived = {int.from_bytes(frame[38:42], "big") for frame in link.sent(1 - number)}
    return [each for each in range(200) if each not in arrived]


def test_chance_has_a_seed_and_is_another_in_each_direction() -> None:
    assert lost(1, 0) == lost(1, 0) != []
    assert len({tuple(lost(seed, number)) for seed in (1, 2) for number in (0, 1)}) == 4


def test_single_packets_of_a_superpacket_are_lost() -> None:
    link = Link(loss=0.2)
    frame, vnet = partial(bytes(10 * MSS))
    for _ in range(20):
        link.arrive(frame, vnet)
    link.relay.send_due(NOW)
    arrived = sum(-(-(len(each) - 54) // MSS) for each in link.sent())
    (counters, _) = (direction.summary() for direction in link.relay.directions)
    assert counters.startswith("200 packets, ")
    assert 100 < arrived < 190
    assert f" {200 - arrived} lost," in counters
    for sent_vnet, each in link.ports[1].sent:
        total = int.from_bytes(each[16:18], "big")
        assert total == len(each) - 14
        assert not internet_checksum(each[14:34])
        assert (VNET.unpack(sent_vnet)[3] == MSS) == (len(each) > 54 + MSS)


def test_the_checksum_of_a_datagram_is_finished_before_it_is_kept() -> None:
    link = Link(delay=0.001)
    frame = bytearray(udp(b"seven bytes are odd"))[: 14 + 20 + 8 + 19]
    frame[40:42] = pseudo_header_sum(PEER_IP, OUR_IP, 17, len(frame) - 34).to_bytes(2, "big")
    link.arrive(bytes(frame), VNET.pack(NEEDS_CSUM, 0, len(frame), 0, 34, 6))
    link.relay.send_due(NOW + 1)
    ((vnet, sent),) = link.ports[1].sent
    assert vnet == bytes(VNET.size)
    pseudo = struct.pack("!IIHH", PEER_IP, OUR_IP, 17, len(sent) - 34)
    assert fold(partial_sum(pseudo) + partial_sum(sent[34:])) == 0xFFFF


def test_a_corrupt_packet_of_a_superpacket_has_one_wrong_bit() -> None:
    link = Link(corrupt=1)
    frame, vnet = partial(bytes(MSS))
    link.arrive(frame, vnet)
    link.relay.send_due(NOW)
    ((sent_vnet, sent),) = link.ports[1].sent
    assert sent_vnet == bytes(VNET.size)
    whole = Tcp(bytes(MSS)).frame()
    assert sum((a ^ b).bit_count() for a, b in zip(sent, whole, strict=True)) == 1


def test_linuxs_big_tcp_packet_over_ipv6_is_cut_to_what_linux_takes_back() -> None:
    payload = random.Random(1).randbytes(150 * MSS + 7)
    jumbo = struct.pack("!BBBBI", ipv4.TCP, 0, 0xC2, 4, 8 + 20 + len(payload))
    header = struct.pack("!IHBB", 6 << 28, 0, 0, 64) + bytes(range(32)) + jumbo
    segment = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 5 << 4, tcp.ACK, 9, 0, 0)
    frame = bytes(12) + bytes.fromhex("86dd") + header + segment + payload
    link = Link(loss=1e-9)
    link.arrive(frame, VNET.pack(NEEDS_CSUM, _GSO_TCPV6, 82, MSS, 62, tcp.CHECKSUM_OFFSET))
    link.relay.send_due(NOW)
    assert len(link.sent()) == 3
    assert b"".join(each[74:] for each in link.sent()) == payload
    for vnet, each in link.ports[1].sent:
        assert (each[20], int.from_bytes(each[18:20], "big")) == (ipv4.TCP, len(each) - 54)
        assert VNET.unpack(vnet)[1:5] == (_GSO_TCPV6, 74, MSS, 54)


def test_a_superpacket_whose_packets_cannot_be_told_is_dropped_and_counted() -> None:
    link = Link()
    link.arrive(udp(bytes(3000)), VNET.pack(NEEDS_CSUM, _GSO_UDP_L4, 42, MSS, 34, 6))
    assert link.sent() == []
    assert link.relay.unknown == 1


def test_a_relays_configuration_crosses_as_json() -> None:
    bursts = GilbertElliott(0.1, 0.2, 0.9, 0.01)
    there = RelayWay(
        impairment=dataclasses.replace(ImpairmentConfig(), gemodel=bursts, jitter=0.5),
        rate_bps=5,
        queue_bytes=6,
        ecn_threshold_bytes=7,
    )
    config = RelayConfig(interfaces=("a", "b"), ways=(there, RelayWay()), ready="/r")
    assert decode(encode(config)) == config
    with pytest.raises(RelayConfigError, match=r"--config describes no relay: .*interfaces"):
        decode("{}")


def test_each_direction_is_what_is_asked_of_it() -> None:
    link = Link()
    ways = RelayWay(impairment=ImpairmentConfig(delay=0.5)), RelayWay(impairment=ImpairmentConfig(loss=1.0))
    link.relay = Relay(RelayConfig(interfaces=("w1-eth0", "w1-eth1"), ways=ways), link.ports)
    link.arrive(arp_request(), number=0)
    link.arrive(arp_request(), number=1)
    assert link.relay.next_timeout() == NOW + 0.5
    link.relay.send_due(NOW + 0.5)
    assert (link.sent(1), link.sent(0)) == ([arp_request()], [])
