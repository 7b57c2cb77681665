"""Duplicate address detection: which messages are noticed, believed and answered while the host probes."""

from __future__ import annotations

import pytest

from nodes.inet.dad import AddressConflict
from nodes.nic.wire_port import TxOffload
from nodes.wire import arp, ethernet, icmpv6, ip, ipv6, ndisc
from tests.path.two_hosts import TwoHosts

STRANGER = bytes.fromhex("020000000009")
ANYBODY = ip.address_int("2001:db8::77")


def neighbour_says(
    hosts: TwoHosts, packet: ndisc.Solicitation | ndisc.Advertisement, src: int, dst: int
) -> None:
    """A message with a good checksum reaches a."""
    message = icmpv6.with_checksum(ndisc.emit(packet), src, dst)
    frame = ethernet.emit(ethernet.multicast_of(dst), STRANGER, ethernet.TYPE_IPV6)
    frame += ipv6.emit(src, dst, ip.ICMPV6, len(message), 0, ndisc.HOP_LIMIT) + message
    hosts.b.device.wire.send(frame, [], TxOffload())
    hosts.rest(0.01)


def neighbour_asks(hosts: TwoHosts, packet: arp.Arp) -> None:
    frame = ethernet.emit(ethernet.BROADCAST, packet.sender_mac, ethernet.TYPE_ARP) + arp.emit(packet)
    hosts.b.device.wire.send(frame, [], TxOffload())
    hosts.rest(0.01)


def hear_a(hosts: TwoHosts) -> list[bytes]:
    """What a sends from now on; b never sees it."""
    found: list[bytes] = []

    def keep(frame: bytes) -> bool:
        found.append(frame)
        return True

    hosts.to_b.lose = keep
    return found


@pytest.mark.parametrize("also_asks", [False, True])
def test_a_neighbour_with_our_ipv6_address_is_noticed_by_probing(hosts: TwoHosts, also_asks: bool) -> None:
    """RFC 4862 section 5.4: it says that it has the address, or is about to take it as we are."""
    link, ours = hosts.a.link, hosts.a.address6
    link.probe(hosts.now + 1)
    hosts.rest(0.01)
    assert link.dad.conflict is None
    mac, group = hosts.b.device.config.mac, ipv6.solicited_node(ours)
    if also_asks:
        src, dst, message = 0, group, ndisc.emit(ndisc.Solicitation(ours, None))
    else:
        src, dst, message = ours, ipv6.ALL_NODES, ndisc.emit(ndisc.Advertisement(ours, mac, False, True))
    message = icmpv6.with_checksum(message, src, dst)
    frame = ethernet.emit(ethernet.multicast_of(dst), mac, ethernet.TYPE_IPV6)
    frame += ipv6.emit(src, dst, ip.ICMPV6, len(message), 0, ndisc.HOP_LIMIT) + message
    hosts.b.device.wire.send(frame, [], TxOffload())
    hosts.rest(0.01)
    assert link.dad.conflict == AddressConflict(ours, mac)


def test_a_neighbour_with_our_address_is_noticed_by_probing(hosts: TwoHosts) -> None:
    hosts.a.link.probe(hosts.now + 1)
    hosts.rest(0.01)
    assert hosts.a.stack.inet.conflict is None
    mac = hosts.b.device.config.mac
    claim = arp.emit(arp.Arp(arp.REPLY, mac, hosts.a.address, hosts.a.device.config.mac, hosts.a.address))
    frame = ethernet.emit(hosts.a.device.config.mac, mac, ethernet.TYPE_ARP) + claim
    hosts.b.device.wire.send(frame, [], TxOffload())
    hosts.rest(0.01)
    assert hosts.a.stack.inet.conflict == AddressConflict(hosts.a.address, mac)


def test_a_neighbour_that_probes_for_the_same_address_is_noticed(hosts: TwoHosts) -> None:
    """RFC 5227 section 2.1.1: both are about to take it."""
    hosts.a.link.probe(hosts.now + 1)
    neighbour_asks(hosts, arp.Arp(arp.REQUEST, STRANGER, 0, bytes(6), hosts.a.address))
    assert hosts.a.stack.inet.conflict == AddressConflict(hosts.a.address, STRANGER)


@pytest.mark.parametrize("said", ["to a node", "with a link-layer address", "solicited to a group"])
def test_an_invalid_message_about_our_address_is_not_believed(hosts: TwoHosts, said: str) -> None:
    """RFC 4861 sections 7.1.1, 7.1.2: a question without a source address goes to a solicited-node group and
    names no link-layer address; no answer to a group is solicited."""
    link, ours = hosts.a.link, hosts.a.address6
    link.probe(hosts.now + 1)
    if said == "to a node":
        neighbour_says(hosts, ndisc.Solicitation(ours, None), 0, ours)
    elif said == "with a link-layer address":
        neighbour_says(hosts, ndisc.Solicitation(ours, STRANGER), 0, ipv6.solicited_node(ours))
    else:
        neighbour_says(hosts, ndisc.Advertisement(ours, STRANGER, True, True), ours, ipv6.ALL_NODES)
    assert link.dad.conflict is None


def test_our_own_questions_come_back_and_are_no_neighbours(hosts: TwoHosts) -> None:
    """A bridge may send a broadcast back to where it came from."""
    a = hosts.a
    sent = hear_a(hosts)
    a.link.probe(hosts.now + 1)
    hosts.rest(0.01)
    assert len(sent) == 2
    for frame in sent:
        hosts.b.device.wire.send(frame, [], TxOffload())
    hosts.rest(0.01)
    hosts.to_b.lose = lambda _: False
    assert a.stack.inet.conflict is None


def test_while_it_probes_no_host_hears_that_it_has_the_address(hosts: TwoHosts) -> None:
    """RFC 4862 section 5.4.3, RFC 5227 section 2.1.1; and then everybody does."""
    link, ours = hosts.a.link, hosts.a.address6
    link.probe(hosts.now + 1)
    hosts.rest(0.01)
    sent = hear_a(hosts)
    for answers in (0, 1):
        neighbour_asks(hosts, arp.Arp(arp.REQUEST, STRANGER, hosts.b.address, bytes(6), hosts.a.address))
        assert len(sent) == answers
        sent.clear()
        neighbour_says(hosts, ndisc.Solicitation(ours, STRANGER), ANYBODY, ipv6.solicited_node(ours))
        assert len(sent) == answers
        sent.clear()
        assert link.dad.conflict is None
        assert link.neighbours.concerns(ANYBODY) == bool(answers)
        hosts.rest(1.1)
    hosts.to_b.lose = lambda _: False


def test_later_whoever_claims_our_address_does_not_get_it(hosts: TwoHosts) -> None:
    """A probe is answered, and no address of 0 is learned from it."""
    link = hosts.a.link
    link.probe(hosts.now + 1)
    hosts.rest(1.1)
    sent = hear_a(hosts)
    neighbour_asks(hosts, arp.Arp(arp.REQUEST, STRANGER, 0, bytes(6), hosts.a.address))
    hosts.to_b.lose = lambda _: False
    (reply,) = sent
    found = arp.parse(reply, ethernet.HEADER_BYTES)
    assert found == arp.Arp(arp.REPLY, hosts.a.device.config.mac, hosts.a.address, STRANGER, 0)
    assert link.dad.conflict is None
    assert not link.neighbours.concerns(0)
