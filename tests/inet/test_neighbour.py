"""ARP: who is asked, who is answered, what waits meanwhile and for how long."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf

import pytest

from nodes.inet.address import ipv4_address, ipv6_address
from nodes.inet.link import Link
from nodes.inet.neighbour import (
    CACHE_MAX,
    DELAY_PROBE_S,
    FAILED_S,
    LOCK_S,
    QUEUE_MAX,
    SOLICIT_S,
    SOLICITATIONS,
    Confirmation,
    Nud,
)
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
        self.progress_at = -inf  # of TCP
        confirmation = Confirmation(lambda _: self.progress_at, random.Random(1))
        addresses = ipv4_address(OUR_IP, 24), ipv6_address(0, 64)
        self.link = Link(device, Cpu(ledger), addresses, self, confirmation)
        self.neighbours = self.link.neighbours
        self._payloads = payloads

    def unreachable(self, packet: bytes, now: float) -> None:
        self.lost.append((bytes(packet), now))

    def answers_for(self, link: Link, target: int, sender: int) -> bool:  # noqa: ARG002  the host has one link
        return False

    @property
    def asked(self) -> list[Arp]:
        """The ARP packets that were sent."""
        packets = (arp.parse(sent.frame, 14) for sent in self.wire.sent if _is_arp(sent.frame))
        return [packet for packet in packets if packet is not None]

    @property
    def sent(self) -> list[tuple[bytes, bytes]]:
        """(header, to) of everything else."""
        return [(s.frame[14:16], s.frame[:6]) for s in self.wire.sent if not _is_arp(s.frame)]

    def wait_for(self, address: int, number: int, now: float = 0.0) -> Skb:
        """An skb with payload, told by its number, that must be released some day."""
        skb = Skb(number.to_bytes(2, "big"), self._payloads.frags(10))
        self.neighbours.resolve(address, skb, now)
        return skb

    def hear(self, operation: int, mac: bytes, now: float, address: int = PEER_IP) -> None:
        """`address` is said to be at `mac`, in a packet for us."""
        self.link.arp.receive(Arp(operation, mac, address, OUR_MAC, OUR_IP), now)

    def known(self, address: int = PEER_IP) -> tuple[bytes, Nud] | None:
        entry = self.neighbours.entry(address)
        return None if entry is None else (entry.mac, entry.state)

    def send(self, now: float) -> None:
        """A packet to the peer, as Link.xmit sends it."""
        if self.neighbours.mac_of(PEER_IP) is None:
            self.wait_for(PEER_IP, 7, now)

    @property
    def probes(self) -> int:
        """The questions that went to the peer alone."""
        return sum(sent.frame[:6] == PEER_MAC for sent in self.wire.sent if _is_arp(sent.frame))

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
    assert link.known() == (PEER_MAC, Nud.REACHABLE)
    at = link.neighbours.next_timeout()
    assert at is not None
    assert 15.0 <= at <= 45.0  # base_reachable_time 30 s, 0.5 to 1.5 of it


def test_addresses_wait_apart(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    link.wait_for(STRANGER_IP, 2, now=0.5)
    link.link.arp.receive(Arp(arp.REPLY, STRANGER_MAC, STRANGER_IP, OUR_MAC, OUR_IP), 0.0)
    assert link.sent == [(b"\0\2", STRANGER_MAC)]
    assert link.neighbours.next_timeout() == SOLICIT_S


def test_a_question_for_us_is_answered_and_taught_from(link: OnWire) -> None:
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), OUR_IP), 0.0)
    assert link.asked == [Arp(arp.REPLY, OUR_MAC, OUR_IP, PEER_MAC, PEER_IP)]
    assert link.known() == (PEER_MAC, Nud.STALE)


def test_a_request_from_the_neighbour_we_ask_counts_as_an_answer(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), OUR_IP), 0.0)
    assert link.numbers == [1]


def test_a_question_for_somebody_else_is_left_alone(link: OnWire) -> None:
    link.link.arp.receive(Arp(arp.REQUEST, PEER_MAC, PEER_IP, bytes(6), STRANGER_IP), 0.0)
    assert link.asked == []
    assert link.neighbours.mac_of(PEER_IP) is None


def test_an_idle_neighbour_that_moves_is_followed(link: OnWire) -> None:
    link.hear(arp.REQUEST, PEER_MAC, 0.0)
    moved = bytes.fromhex("02000000ffff")
    packet = Arp(arp.REQUEST, moved, PEER_IP, bytes(6), STRANGER_IP)  # not for us
    link.link.arp.receive(packet, 0.5)
    assert link.known() == (PEER_MAC, Nud.STALE)  # locktime
    link.link.arp.receive(packet, LOCK_S)
    assert link.known() == (moved, Nud.STALE)
    assert len(link.asked) == 1  # our reply


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


def test_an_answer_that_was_not_asked_for_is_not_remembered(link: OnWire) -> None:
    """arp_accept 0."""
    link.wait_for(STRANGER_IP, 1)
    link.link.arp.receive(ANSWER, 0.0)
    assert (link.sent, link.known()) == ([], None)


def test_the_oldest_makes_room_when_too_many_wait(link: OnWire) -> None:
    for number in range(QUEUE_MAX + 3):
        link.wait_for(PEER_IP, number)
    link.link.arp.receive(ANSWER, 0.0)
    assert link.numbers == list(range(3, QUEUE_MAX + 3))


def test_the_cache_is_bounded_and_the_least_recently_used_goes(link: OnWire) -> None:
    for number in range(CACHE_MAX):
        link.hear(arp.REQUEST, PEER_MAC, 0.0, PEER_IP + number)
    link.send(1.0)
    link.hear(arp.REQUEST, PEER_MAC, 2.0, PEER_IP + CACHE_MAX)
    assert link.known() == (PEER_MAC, Nud.DELAY)
    assert link.known(PEER_IP + 1) is None
    assert link.known(PEER_IP + CACHE_MAX) == (PEER_MAC, Nud.STALE)


def test_a_flood_of_claims_does_not_evict_a_neighbour_in_use(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    link.link.arp.receive(ANSWER, 0.0)
    for number in range(2 * CACHE_MAX):
        link.hear(arp.REQUEST, STRANGER_MAC, 1.0, STRANGER_IP + number)
    assert link.neighbours.mac_of(PEER_IP) == PEER_MAC


# --- neighbour unreachability detection


@pytest.fixture
def reachable(link: OnWire) -> OnWire:
    """The peer answered at 0 s."""
    link.wait_for(PEER_IP, 1)
    link.link.arp.receive(ANSWER, 0.0)
    link.wire.sent.clear()
    return link


def expire(link: OnWire) -> float:
    """The next timer of the cache."""
    at = link.neighbours.next_timeout()
    assert at is not None
    link.neighbours.handle_timeout(at)
    return at


def test_an_unused_neighbour_becomes_stale_and_is_left_alone(reachable: OnWire) -> None:
    assert 15.0 <= expire(reachable) <= 45.0
    assert reachable.known() == (PEER_MAC, Nud.STALE)
    assert (reachable.asked, reachable.neighbours.next_timeout()) == ([], None)


def test_a_stale_neighbour_is_sent_to_and_probed_after_5_s(reachable: OnWire) -> None:
    at = expire(reachable)
    reachable.send(at)
    assert reachable.sent == [(b"\0\7", PEER_MAC)]
    assert reachable.known() == (PEER_MAC, Nud.DELAY)
    assert expire(reachable) == at + DELAY_PROBE_S
    assert reachable.known() == (PEER_MAC, Nud.PROBE)
    assert reachable.probes == 1
    reachable.link.arp.receive(ANSWER, at + 6)
    assert reachable.known() == (PEER_MAC, Nud.REACHABLE)


def test_a_neighbour_that_does_not_answer_three_probes_is_forgotten(reachable: OnWire) -> None:
    at = expire(reachable)
    reachable.send(at)
    times = [expire(reachable) - at for _ in range(4)]
    assert times == [5.0, 6.0, 7.0, 8.0]
    assert (reachable.probes, reachable.known()) == (3, None)
    reachable.send(at + 9)
    assert reachable.asked[-1] == QUESTION


def test_tcp_progress_keeps_a_neighbour_reachable(reachable: OnWire) -> None:
    due = reachable.neighbours.next_timeout()
    assert due is not None
    reachable.progress_at = 10.0
    expire(reachable)
    assert reachable.known() == (PEER_MAC, Nud.REACHABLE)
    assert reachable.neighbours.next_timeout() == 10.0 + due


def test_tcp_progress_confirms_a_delayed_neighbour(reachable: OnWire) -> None:
    at = expire(reachable)
    reachable.send(at)
    reachable.progress_at = at + 0.1
    expire(reachable)
    assert (reachable.known(), reachable.asked) == ((PEER_MAC, Nud.REACHABLE), [])


def test_progress_before_the_mac_changed_confirms_nothing(link: OnWire) -> None:
    link.hear(arp.REQUEST, PEER_MAC, 0.0)
    link.progress_at = 0.9
    link.hear(arp.REQUEST, STRANGER_MAC, 1.0)
    link.send(1.0)
    expire(link)
    assert link.known() == (STRANGER_MAC, Nud.PROBE)


@pytest.mark.parametrize("operation", [arp.REQUEST, arp.REPLY])
def test_a_claim_makes_a_neighbour_in_use_stale_and_keeps_its_mac(reachable: OnWire, operation: int) -> None:
    reachable.hear(operation, STRANGER_MAC, 0.5)
    assert reachable.known() == (PEER_MAC, Nud.REACHABLE)  # locktime: the first of two answers counts
    reachable.hear(operation, STRANGER_MAC, 2.0)
    assert reachable.known() == (PEER_MAC, Nud.STALE)
    reachable.send(2.0)
    reachable.hear(operation, STRANGER_MAC, 4.0)
    assert reachable.known() == (PEER_MAC, Nud.DELAY)


def test_an_unsolicited_reply_with_the_same_mac_changes_nothing(link: OnWire) -> None:
    link.hear(arp.REQUEST, PEER_MAC, 0.0)
    link.hear(arp.REPLY, PEER_MAC, 5.0)
    assert link.known() == (PEER_MAC, Nud.STALE)


def test_questions_without_answers_are_bounded_too(link: OnWire) -> None:
    first = link.wait_for(PEER_IP, 1)
    for number in range(CACHE_MAX):
        link.wait_for(PEER_IP + 1 + number, 2)
        if number % 200 == 199:
            link.wire.sent.clear()
    assert first.payload is None
    assert not link.neighbours.concerns(PEER_IP)


def test_an_answer_that_comes_too_late_is_taken(link: OnWire) -> None:
    """On a wire whose round trip is longer than the three questions: NUD_FAILED knows that it asked."""
    link.wait_for(PEER_IP, 1)
    now = 0.0
    for _ in range(SOLICITATIONS):
        now += SOLICIT_S
        link.neighbours.handle_timeout(now)
    assert [packet for packet, _ in link.lost]
    link.hear(arp.REPLY, PEER_MAC, now + 1.0)
    entry = link.neighbours.entry(PEER_IP)
    assert entry is not None
    assert (entry.mac, entry.state) == (PEER_MAC, Nud.REACHABLE)
    link.hear(arp.REPLY, STRANGER_MAC, now + 1.0, STRANGER_IP)
    assert link.neighbours.entry(STRANGER_IP) is None, "nobody asked"


def test_an_answer_after_a_minute_answers_nothing(link: OnWire) -> None:
    link.wait_for(PEER_IP, 1)
    for number in range(1, SOLICITATIONS + 1):
        link.neighbours.handle_timeout(number * SOLICIT_S)
    failed_at = SOLICITATIONS * SOLICIT_S
    link.hear(arp.REPLY, PEER_MAC, failed_at + FAILED_S)
    entry = link.neighbours.entry(PEER_IP)
    assert entry is None or entry.state is not Nud.REACHABLE


def test_addresses_that_do_not_answer_are_bounded_too(link: OnWire) -> None:
    first = PEER_IP + 10
    for begin in (first, first + CACHE_MAX):
        for address in range(begin, begin + CACHE_MAX):
            link.wait_for(address, 1)
        for number in range(1, SOLICITATIONS + 1):
            link.neighbours.handle_timeout(number * SOLICIT_S)
    known = [a for a in range(first, first + 2 * CACHE_MAX) if link.neighbours.concerns(a)]
    assert known == [*range(first + CACHE_MAX, first + 2 * CACHE_MAX)], "the oldest went"
