"""Links that go down and come up; what is expected is what Linux 6.18 did with keep_addr_on_down."""

from __future__ import annotations

import pytest

from nodes.inet.inet import Inet
from nodes.inet.redirect import Redirects
from nodes.inet.route import RTPROT_BOOT, RTPROT_STATIC, UNREACHABLE, RouteTable
from nodes.wire import ip
from tests.inet.test_neighbour import STRANGER_IP, OnWire
from tests.inet.test_route import entry, make_inet, number, refusal, way
from tests.nic.frames import PEER_IP, PEER_MAC
from tests.sock.payloads import Payloads

ETH0, ETH1 = 2, 3
ETH1_ROUTES = ["10.0.2.0/24", "2001:db8:2::/64"]
DOWN, UP = {"up": False, "carrier": False}, {"up": True, "carrier": True}


@pytest.fixture
def inet() -> Inet:
    return make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.2.1", "2001:db8:2::1"))


def prefixes(table: RouteTable) -> list[str]:
    return sorted(f"{ip.address_text(e.prefix.network)}/{e.prefix.length}" for e in table)


def test_every_route_by_a_link_that_goes_down_is_gone(inet: Inet) -> None:
    table, before = inet.routes, inet.routes.generation
    for prefix, link, via in (
        ("10.9.0.0/16", 0, "10.0.1.254"), ("10.10.0.0/16", 0, ""), ("2001:db8:9::/64", 0, "2001:db8:1::fe"),
    ):  # fmt: skip
        table.insert(entry(table, prefix, link, via, protocol=RTPROT_BOOT))
    table.insert(entry(table, "10.11.0.0/16", None, kind=UNREACHABLE))
    inet.set_link(ETH0, **DOWN)
    assert prefixes(table) == ["10.0.2.0/24", "10.11.0.0/16", "2001:db8:2::/64"]
    assert table.generation > before
    assert [refusal(table, to) for to in ("10.0.1.2", "2001:db8:1::2", "10.9.0.1")] == ["ENETUNREACH"] * 3
    assert refusal(table, "10.9.0.1", "eth0") == "ENETUNREACH"  # nor is it a neighbour there
    assert table.is_ours(number("10.0.1.1"))
    inet.set_link(ETH0, **UP)
    assert prefixes(table) == [
        "10.0.1.0/24", "10.0.2.0/24", "10.11.0.0/16", "2001:db8:1::/64", "2001:db8:2::/64",
    ]  # fmt: skip
    assert way(table, "10.0.1.2") == ("eth0", "10.0.1.1", "10.0.1.2")


def test_what_was_configured_comes_back_unless_it_was_deleted(inet: Inet) -> None:
    table = inet.routes
    kept = entry(table, "10.9.0.0/16", 0, "10.0.1.254", protocol=RTPROT_STATIC)
    deleted = entry(table, "10.10.0.0/16", 0, "10.0.1.254", protocol=RTPROT_STATIC)
    for each in (kept, deleted):
        table.insert(each)
    table.delete(deleted)
    for again in (False, True):
        inet.set_link(ETH0, **DOWN)
        inet.set_link(ETH0, **DOWN)
        assert kept not in list(table)
        if again:
            table.insert(kept)  # meanwhile, by somebody else
        inet.set_link(ETH0, **UP)
        assert [each for each in table if each in (kept, deleted)] == [kept]


def test_a_link_without_a_carrier_keeps_its_routes(inet: Inet) -> None:
    before = prefixes(inet.routes)
    inet.set_link(ETH0, up=True, carrier=False)
    assert prefixes(inet.routes) == before
    assert way(inet.routes, "10.0.1.2") == ("eth0", "10.0.1.1", "10.0.1.2")
    assert [link.carrier for link in inet.links.values()] == [False, True]


@pytest.mark.parametrize("up", [True, False])
def test_neighbours_are_forgotten_and_what_waits_is_lost_without_a_word(
    inet: Inet, payloads: Payloads, up: bool
) -> None:
    link = inet.links[ETH0]
    wire = OnWire(payloads)
    wire.hear(2, PEER_MAC, 0.0)
    wire.wait_for(STRANGER_IP, 1)
    link.neighbours = wire.neighbours
    inet.set_link(ETH0, up=up, carrier=False)
    assert wire.known() is None
    assert wire.neighbours.mac_of(PEER_IP) is None
    assert not wire.neighbours.concerns(STRANGER_IP)
    assert wire.neighbours.next_timeout() is None
    wire.neighbours.handle_timeout(100.0)
    assert wire.lost == []


def test_redirects_of_and_to_a_gateway_of_the_link_are_forgotten(inet: Inet) -> None:
    known, eth0 = Redirects(), inet.links[ETH0]
    first, second = number("10.0.1.254"), number("10.0.2.254")
    known.learn(1, first, number("10.0.1.253"), 0.0)
    known.learn(2, second, number("10.0.2.253"), 0.0)
    known.drop_gateways(eth0.v4.is_on_link)
    assert known.gateway(1, first) == first
    assert known.gateway(2, second) == number("10.0.2.253")
    table = inet.routes
    table.insert(entry(table, "10.9.0.0/16", 0, "10.0.1.254", protocol=RTPROT_STATIC))
    eth0.neighbours.learn(number("10.0.1.253"), PEER_MAC, 0.0)
    table.redirect(table.resolve(number("10.9.0.1")), number("10.9.0.1"), number("10.0.1.253"), 0.0)
    assert way(table, "10.9.0.1")[2] == "10.0.1.253"
    inet.set_link(ETH0, **DOWN)
    inet.set_link(ETH0, **UP)
    assert way(table, "10.9.0.1")[2] == "10.0.1.254"
