"""ARP: who is asked, who is answered, what waits meanwhile and for how long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodes.inet.address import ipv4_address, ipv6_address
from nodes.inet.link import Link
from nodes.inet.neighbour import CACHE_MAX, QUEUE_MAX, SOLICIT_S, SOLICITATIONS
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.skb import Skb
from nodes.wire import arp
from nodes.wire.arp import Arp
from tests.nic.fake_wire import FakeWire
from tests.nic.frames import OUR_IP, OUR_MAC, PEER_IP, PEER_MAC
from tests.sock.payloads import Payloads

STRANGER_IP, STRANGER_MAC = PEER_IP + 1, bytes.fromhex("020000000003")
QUESTION = Arp(arp.REQUEST, OUR_MAC, OUR_IP, bytes(6), PEER_IP)
ANSWER = Arp(arp.REPLY, PEER_MAC, PEER_IP, OUR_MAC, OUR_IP)


class OnWire:
    """A link and its neighbours over a wire in our hands."""

    def __init__(self, payloads: Payloads) -> None:
        self.wire = FakeWire()
        self.lost: list[tuple[bytes, float]] = []
        ledger = Ledger()
        device = NetDevice(DeviceConfig("eth0", 1, OUR_MAC), self.wire, ledger)
        self.link = Link(device, Cpu(ledger), (ipv4_address(OUR_IP, 24), ipv6_address(0, 64)), self._lose)
        self.neighbours = self.link.neighbours
        self._payloads = payloads

    def _lose(self, packet: memoryview, now: float) -> None:
        self.lost.append((bytes(packet), now))

    @property
    def asked(self) -> list[Arp]:
        """The ARP packets that were sent."""
        packets = (arp.parse(memoryview(sent.frame), 14) for sent in self.wire.sent if _is_arp(sent.frame))
        return [packet for packet in packets if packet is not None]

    @property
    def sent(self) -> list[tuple[bytes, bytes]]:
        """(header, to) of everything else."""
        return [(s.frame[14:16], s.frame[:6]) for s in self.wire.sent if not _is_arp(s.frame)]

    def wait_for(self, address: int, number: int, now: float = 0.0) -> Skb:
        """An skb with payload, told by its number, that must be released some day."""
        skb = Skb(memoryview(number.to_bytes(2, "big")), self._payloads.frags(10))
        self.neighbours.wait_for(address, skb, now)
        return skb

    @property
    def numbers(self) -> list[int]:
        return [int.from_bytes(header, "big") for header, _ in self.sent]


def _is_arp(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x06"


@pytest.fixture
def link(payloads: Payloads) -> Iterator[OnWire]:
    each = OnWire(payloads)
    yield each
    each.wire.sent.clear()
    while (at := each.neighbours.next_timeout()) is not None:
        each.neighbours.handle_timeout(at)


def test_an_unknown_address_is_asked_for_once(link: OnWire) -> None:
    assert link.neighbours.mac_of(PEER_IP) is None
    for number in range(3):
        link.wait_for(PEER_IP, number, now=5.0)
    assert link.asked == [QUESTION]
    assert link.neighbours.next_timeout() == 5.0 + SOLICIT_S


def test_an_answer_sends_what_waits_in_order(link: OnWire) -> None:
    for number in range(3):
        link.wait_for(PEER_IP, number)
    link.link.arp.receive(ANSWER, 0.0)
    assert link.sent == [(bytes([0, number]), PEER_MAC) for number in range(3)]
    assert link.neighbours.mac_of(PEER_IP) == PEER_MAC
    assert link.neighbours.next_timeout() is None


def test_addresses_wait_apart(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    link.wait_for(STRANGER_IP, 2, now=0.5)
    link.link.arp.receive(Arp(arp.REPLY, STRANGER_MAC, STRANGER_IP, OUR_MAC, OUR_IP), 0.0)
    assert link.sent == [(b"\0\2", STRANGER_MAC)]
    assert link.neighbours.next_timeout() == SOLICIT_S


def test_a_question_for_us_is_answered_and_taught_from(link: OnWire) -> None:
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), OUR_IP), 0.0)
    assert link.asked == [Arp(arp.REPLY, OUR_MAC, OUR_IP, PEER_MAC, PEER_IP)]
    assert link.neighbours.mac_of(PEER_IP) == PEER_MAC


def test_a_request_from_the_neighbour_we_ask_counts_as_an_answer(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), OUR_IP), 0.0)
    assert link.numbers == [1]


def test_a_question_for_somebody_else_is_left_alone(link: OnWire) -> None:
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), STRANGER_IP), 0.0)
    assert link.asked == []
    assert link.neighbours.mac_of(PEER_IP) is None


def test_a_neighbour_that_moves_is_followed(link: OnWire) -> None:
    link.link.arp.receive(ANSWER, 0.0)
    moved = bytes.fromhex("02000000ffff")
    link.link.arp.receive(Arp(arp.REQUEST, moved, PEER_IP, bytes(6), STRANGER_IP), 0.0)  # gratuitous enough
    assert link.neighbours.mac_of(PEER_IP) == moved
    assert link.asked == []


def test_three_questions_then_what_waits_is_lost(link: OnWire) -> None:
    skb = link.wait_for(PEER_IP, 1, now=10.0)
    link.neighbours.handle_timeout(10.9)
    assert len(link.asked) == 1
    for turn in range(1, SOLICITATIONS):
        link.neighbours.handle_timeout(10.0 + turn)
        link.neighbours.handle_timeout(10.9 + turn)
        assert link.asked == [QUESTION] * (turn + 1)
    assert SOLICITATIONS == 3
    link.neighbours.handle_timeout(13.0)
    assert (len(link.asked), link.sent, link.neighbours.next_timeout()) == (3, [], None)
    assert skb.payload is None  # its references are back
    assert link.lost == [(b"\0\1", 13.0)]


def test_after_giving_up_it_asks_anew(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    for now in (1.0, 2.0, 3.0):
        link.neighbours.handle_timeout(now)
    link.wait_for(PEER_IP, 2, now=4.0)
    assert len(link.asked) == 4
    link.link.arp.receive(ANSWER, 0.0)
    assert link.numbers == [2]


def test_a_late_answer_is_remembered(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    for now in (1.0, 2.0, 3.0):
        link.neighbours.handle_timeout(now)
    link.link.arp.receive(ANSWER, 0.0)
    assert (link.sent, link.neighbours.mac_of(PEER_IP)) == ([], PEER_MAC)


def test_the_oldest_makes_room_when_too_many_wait(link: OnWire) -> None:
    for number in range(QUEUE_MAX + 3):
        link.wait_for(PEER_IP, number)
    link.link.arp.receive(ANSWER, 0.0)
    assert link.numbers == list(range(3, QUEUE_MAX + 3))


def test_the_cache_is_bounded_and_the_oldest_goes(link: OnWire) -> None:
    for number in range(CACHE_MAX + 1):
        link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP + number, bytes(6), OUR_IP), 0.0)
    assert link.neighbours.mac_of(PEER_IP) is None
    assert link.neighbours.mac_of(PEER_IP + CACHE_MAX) == PEER_MAC


def test_questions_without_answers_are_bounded_too(link: OnWire) -> None:
    first = link.wait_for(PEER_IP, 1)
    for number in range(CACHE_MAX):
        link.wait_for(PEER_IP + 1 + number, 2)
        if number % 200 == 199:
            link.wire.sent.clear()
    assert first.payload is None
    assert not link.neighbours.concerns(PEER_IP)
