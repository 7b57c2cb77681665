"""The routing table: the longest prefix, the source address, the device."""

from __future__ import annotations

import random
from math import inf

import pytest

from nodes.inet.address import ipv4_address, ipv6_address
from nodes.inet.link import Link
from nodes.inet.neighbour import Confirmation
from nodes.inet.route import Route, RouteTable
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.wire import ip
from tests.nic.fake_wire import FakeWire


def number(text: str) -> int:
    return ip.address_int(text)


def make_link(name: str, ifindex: int, v4: str, v6: str) -> Link:
    ledger = Ledger()
    device = NetDevice(DeviceConfig(name, ifindex, bytes((2, 0, 0, 0, 0, ifindex))), FakeWire(), ledger)
    addresses = ipv4_address(number(v4), 24), ipv6_address(number(v6), 64)
    confirmation = Confirmation(lambda _: -inf, random.Random(1))
    return Link(device, Cpu(ledger), addresses, lambda *_: None, confirmation)


@pytest.fixture
def links() -> tuple[Link, Link]:
    return (
        make_link("eth0", 2, "10.0.1.1", "2001:db8:1::1"),
        make_link("eth1", 3, "10.0.2.1", "2001:db8:2::1"),
    )


@pytest.fixture
def table(links: tuple[Link, Link]) -> RouteTable:
    routes = RouteTable()
    for link in links:
        routes.add_connected(link)
    return routes


@pytest.mark.parametrize(
    ("destination", "name"),
    [("10.0.1.9", "eth0"), ("10.0.2.9", "eth1"), ("2001:db8:1::9", "eth0"), ("2001:db8:2::9", "eth1")],
)
def test_a_neighbour_is_reached_by_its_link(table: RouteTable, destination: str, name: str) -> None:
    route = table.lookup(number(destination))
    assert route is not None
    assert (route.link.name, route.gateway) == (name, 0)


@pytest.mark.parametrize("destination", ["10.0.3.1", "2001:db8:3::1", "10.0.1.1", "10.0.2.1", "10.0.1.255"])
def test_there_is_no_route_off_the_links_to_ourselves_or_to_all(table: RouteTable, destination: str) -> None:
    assert table.lookup(number(destination)) is None


def test_a_gateway_is_the_next_hop_and_a_longer_prefix_wins(
    table: RouteTable, links: tuple[Link, Link]
) -> None:
    eth0, eth1 = links
    default = Route(eth0, eth0.v4, number("10.0.1.254"))
    longer = Route(eth1, eth1.v4, number("10.0.2.254"))
    table.add(0, 0, default)
    table.add(number("10.9.0.0"), 16, longer)
    assert table.lookup(number("192.0.2.1")) is default
    assert table.lookup(number("10.9.3.4")) is longer
    assert table.lookup(number("2001:db8:9::1")) is None  # the default route is IPv4's


def test_a_source_address_and_a_device_restrict_the_choice(
    table: RouteTable, links: tuple[Link, Link]
) -> None:
    eth0, eth1 = links
    first, second = Route(eth0, eth0.v4, number("10.0.1.254")), Route(eth1, eth1.v4, number("10.0.2.254"))
    table.add(0, 0, first)
    table.add(0, 0, second)
    there = number("192.0.2.1")
    assert table.lookup(there) is first
    assert table.lookup(there, source=eth1.v4.address) is second
    assert table.lookup(there, ifname="eth1") is second
    assert table.lookup(number("10.0.1.9"), ifname="eth1") is second
    assert table.lookup(there, source=number("10.0.7.7")) is None
