"""The routing table: the longest prefix, the metric, the source address, the device; changes; redirects."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from math import inf

import pytest

from nodes.inet.inet import Inet, Interface
from nodes.inet.neighbour import Confirmation
from nodes.inet.redirect import ENTRIES_MAX, EXPIRES_S, Redirects
from nodes.inet.route import (
    BLACKHOLE,
    PROHIBIT,
    REFUSALS,
    RTPROT_KERNEL,
    UNREACHABLE,
    FibEntry,
    Prefix,
    RouteTable,
    network_of,
)
from nodes.machine.cpu import Cpu
from nodes.machine.ledger import Ledger
from nodes.nic.net_device import DeviceConfig, NetDevice
from nodes.wire import ip
from tests.nic.fake_wire import FakeWire

CREATE, ADD = ("create",), ("create", "excl")
GATEWAY = "10.0.1.254"


def number(text: str) -> int:
    return ip.address_int(text)


def make_inet(*addresses: tuple[str, str]) -> Inet:
    """A host with NICs eth0, eth1, ..., each with an address of both versions."""
    ledger, chance = Ledger(), random.Random(1)
    interfaces = []
    for at, (v4, v6) in enumerate(addresses):
        device = NetDevice(DeviceConfig(f"eth{at}", at + 2, bytes((2, 0, 0, 0, 0, at))), FakeWire(), ledger)
        interfaces.append(Interface(device, number(v4), 24, number(v6), 64))
    return Inet(interfaces, Cpu(ledger), lambda *_: None, Confirmation(lambda _: -inf, chance), chance)


@pytest.fixture
def table() -> RouteTable:
    return make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.2.1", "2001:db8:2::1")).routes


def entry(table: RouteTable, prefix: str, link: int | None = 0, via: str = "", **more: int) -> FibEntry:
    network, _, length = prefix.partition("/")
    where = Prefix(number(network), int(length), ":" in prefix)
    chosen = None if link is None else [*table.links][link]
    return FibEntry(where, chosen, number(via) if via else 0, **more)


def way(table: RouteTable, to: str, source: str = "", ifname: str = "") -> tuple[str, str, str]:
    """The device, our address and the next hop."""
    route = table.resolve(number(to), number(source) if source else 0, ifname)
    next_hop = ip.address_text(route.next_hop(number(to)))
    return route.link.name, ip.address_text(route.source.address), next_hop


def refusal(table: RouteTable, to: str, ifname: str = "") -> str:
    with pytest.raises(OSError) as e:
        table.resolve(number(to), 0, ifname)
    assert table.lookup(number(to), 0, ifname) is None
    return errno.errorcode[e.value.errno or 0]


@pytest.mark.parametrize(
    ("destination", "name"),
    [("10.0.1.9", "eth0"), ("10.0.2.9", "eth1"), ("2001:db8:1::9", "eth0"), ("2001:db8:2::9", "eth1")],
)
def test_a_neighbour_is_reached_by_its_link(table: RouteTable, destination: str, name: str) -> None:
    assert way(table, destination)[::2] == (name, destination)


@pytest.mark.parametrize(
    "destination",
    ["10.0.3.1", "2001:db8:3::1", "10.0.1.1", "10.0.2.1", "10.0.1.255", "224.0.0.1", "255.255.255.255",
     "127.0.0.1", "0.0.0.0", "ff02::1"],
)  # fmt: skip
def test_there_is_no_route_off_the_links_to_ourselves_or_to_all(table: RouteTable, destination: str) -> None:
    if destination != "10.0.3.1" and ":" not in destination:
        table.insert(entry(table, "0.0.0.0/0", via=GATEWAY))  # nor does a default route lead there
    assert refusal(table, destination) == "ENETUNREACH"


def test_a_gateway_is_the_next_hop_and_a_longer_prefix_wins(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", via=GATEWAY))
    table.insert(entry(table, "10.9.0.0/16", 1, "10.0.2.254"))
    table.insert(entry(table, "2001:db8:9::/48", 1, "2001:db8:2::fe"))
    assert way(table, "192.0.2.1") == ("eth0", "10.0.1.1", GATEWAY)
    assert way(table, "10.9.3.4") == ("eth1", "10.0.2.1", "10.0.2.254")
    assert way(table, "2001:db8:9::7") == ("eth1", "2001:db8:2::1", "2001:db8:2::fe")
    assert refusal(table, "2001:db8:8::1") == "ENETUNREACH"  # the default route is IPv4's


def test_of_equal_prefixes_the_lower_metric_wins_then_the_first_in_the_table(table: RouteTable) -> None:
    table.insert(entry(table, "10.9.0.0/16", 0, "10.0.1.7", metric=7))
    assert way(table, "10.9.3.4")[2] == "10.0.1.7"
    table.insert(entry(table, "10.9.0.0/16", 0, "10.0.1.5", metric=5))
    assert way(table, "10.9.3.4")[2] == "10.0.1.5"
    table.insert(entry(table, "10.9.0.0/16", 0, "10.0.1.6", metric=5), ("create", "append"))
    assert way(table, "10.9.3.4")[2] == "10.0.1.5"
    table.insert(entry(table, "10.9.0.0/16", 0, "10.0.1.4", metric=5), CREATE)
    assert way(table, "10.9.3.4")[2] == "10.0.1.4"


def test_among_equals_an_address_of_ours_sends_by_its_own_link(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", 0, GATEWAY), ("create", "append"))
    table.insert(entry(table, "0.0.0.0/0", 1, "10.0.2.254"), ("create", "append"))
    assert way(table, "192.0.2.1") == ("eth0", "10.0.1.1", GATEWAY)
    assert way(table, "192.0.2.1", "10.0.2.1") == ("eth1", "10.0.2.1", "10.0.2.254")
    shared = make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.1.2", "2001:db8:1::2")).routes
    assert way(shared, "10.0.1.9") == ("eth0", "10.0.1.1", "10.0.1.9")
    assert way(shared, "10.0.1.9", "10.0.1.2") == ("eth1", "10.0.1.2", "10.0.1.9")
    assert way(shared, "2001:db8:1::9", "2001:db8:1::2")[0] == "eth1"


def test_arp_answers_for_another_nics_address_where_packets_from_it_leave() -> None:
    """As Linux with arp_filter 1: of NICs in one prefix each answers for its own address alone."""
    shared = make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.1.2", "2001:db8:1::2"))
    apart = make_inet(("10.0.1.1", "2001:db8:1::1"), ("10.0.2.1", "2001:db8:2::1"))
    sender = number("10.0.1.9")
    for inet, other, answer in ((shared, "10.0.1.2", False), (apart, "10.0.2.1", True)):
        eth0, eth1 = inet.links.values()
        assert inet.answers_for(eth0, number(other), sender) is answer
        assert not inet.answers_for(eth1, number("10.0.1.1"), number("10.0.3.9")), "no route leads there"
        assert not inet.answers_for(eth0, number("10.0.1.1"), sender), "its own address is ARP's business"
        assert not inet.answers_for(eth0, sender, number("10.0.1.8")), "it is not ours"


def test_a_source_address_does_not_exclude_another_link(table: RouteTable) -> None:
    """The weak host model: the destination decides."""
    assert way(table, "10.0.1.9", "10.0.2.1") == ("eth0", "10.0.2.1", "10.0.1.9")
    assert way(table, "2001:db8:1::9", "2001:db8:2::1") == ("eth0", "2001:db8:2::1", "2001:db8:1::9")
    assert table.lookup(number("10.0.1.9"), number("10.0.7.7")) is None


def test_without_a_route_a_bound_device_is_the_link_of_ipv4(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", 0, GATEWAY))
    assert way(table, "192.0.2.1", ifname="eth0")[2] == GATEWAY
    assert way(table, "192.0.2.1", ifname="eth1") == ("eth1", "10.0.2.1", "192.0.2.1")
    assert way(table, "10.0.1.9", ifname="eth1") == ("eth1", "10.0.2.1", "10.0.1.9")
    assert refusal(table, "2001:db8:1::9", "eth1") == "ENETUNREACH"


def test_a_route_may_name_the_source_address(table: RouteTable) -> None:
    table.insert(entry(table, "10.9.0.0/16", 0, GATEWAY, source=number("10.0.2.1")))
    assert way(table, "10.9.0.1") == ("eth0", "10.0.2.1", GATEWAY)
    assert way(table, "10.9.0.1", "10.0.1.1")[1] == "10.0.1.1"


@pytest.mark.parametrize(
    ("kind", "name"), [(UNREACHABLE, "EHOSTUNREACH"), (PROHIBIT, "EACCES"), (BLACKHOLE, "EINVAL")]
)
@pytest.mark.parametrize(
    ("prefix", "to"), [("10.9.0.0/16", "10.9.1.1"), ("2001:db8:9::/48", "2001:db8:9::1")]
)
def test_an_entry_may_refuse(table: RouteTable, prefix: str, to: str, kind: int, name: str) -> None:
    table.insert(entry(table, prefix, None, kind=kind))
    assert refusal(table, to) == name == errno.errorcode[REFUSALS[kind]]


# --- changes, as `ip route` of iproute2 sees Linux


def outcome(table: RouteTable, new: FibEntry, *flags: str) -> str:
    try:
        table.insert(new, flags)
    except OSError as e:
        return errno.errorcode[e.errno or 0]
    return "ok"


def gateways(table: RouteTable) -> list[str]:
    return [ip.address_text(each.gateway) for each in table if each.gateway]


def test_add_append_prepend_replace_and_change(table: RouteTable) -> None:
    """The answers are those that a Linux 6.18 gave to the same commands."""

    def via(last: int, metric: int = 0) -> FibEntry:
        return entry(table, "10.9.0.0/16", 0, f"10.0.1.{last}", metric=metric)

    assert outcome(table, via(1), *ADD) == "ok"
    assert outcome(table, via(254), *ADD) == "EEXIST"
    assert outcome(table, via(253), "create", "append") == "ok"
    assert outcome(table, via(253), "create", "append") == "EEXIST"
    assert outcome(table, via(252, metric=5), *ADD) == "ok"
    assert outcome(table, via(251), "create", "replace") == "ok"
    assert outcome(table, via(250), "create") == "ok"
    assert gateways(table) == ["10.0.1.250", "10.0.1.251", "10.0.1.253", "10.0.1.252"]
    assert outcome(table, entry(table, "10.8.0.0/16", 0, "10.0.1.251"), "replace") == "ENOENT"
    assert outcome(table, via(250), "create", "replace") == "ok"  # it is there already
    assert outcome(table, via(253), "create", "replace") == "EEXIST"


def test_delete_takes_the_first_entry_that_fits(table: RouteTable) -> None:
    for last in (1, 2, 3):
        table.insert(entry(table, "10.9.0.0/16", 0, f"10.0.1.1{last}"), ("create", "append"))
    anything = replace(entry(table, "10.9.0.0/16", None), kind=0, protocol=0)
    table.delete(replace(anything, gateway=number("10.0.1.12")))
    table.delete(anything)
    assert gateways(table) == ["10.0.1.13"]
    for wrong in (
        replace(anything, gateway=number("10.0.1.12")),
        replace(anything, link=[*table.links][1]),
        replace(anything, metric=4),
        replace(anything, prefix=network_of(number("10.8.0.0"), 16, v6=False)),
    ):
        with pytest.raises(OSError) as e:
            table.delete(wrong)
        assert e.value.errno == errno.ESRCH
    connected = next(each for each in table if each.protocol == RTPROT_KERNEL and not each.prefix.v6)
    table.delete(connected)
    assert refusal(table, "10.0.1.9") == "ENETUNREACH"


def test_every_change_makes_the_routes_before_it_obsolete(table: RouteTable) -> None:
    before = table.resolve(number("10.0.1.9"))
    assert before.generation == table.generation
    table.insert(entry(table, "10.9.0.0/16", 0, GATEWAY))
    assert before.generation != table.generation
    middle = table.resolve(number("10.0.1.9"))
    table.delete(entry(table, "10.9.0.0/16", 0, GATEWAY))
    assert middle.generation != table.generation


# --- redirects


def test_a_redirect_holds_for_one_destination_and_for_a_while(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", via=GATEWAY))
    there, nearer = number("192.0.2.1"), number("10.0.1.7")
    route = table.resolve(there)
    table.redirect(route, there, nearer, 100.0)
    assert way(table, "192.0.2.1")[2] == GATEWAY, "the new gateway has not answered ARP yet"
    route.link.neighbours.learn(nearer, bytes(6), 100.0)
    table.redirect(route, there, nearer, 100.0)
    assert route.generation != table.generation
    assert way(table, "192.0.2.1")[2] == "10.0.1.7"
    assert way(table, "192.0.2.2")[2] == GATEWAY
    assert table.next_timeout() == 100.0 + EXPIRES_S
    table.handle_timeout(100.0 + EXPIRES_S)
    assert way(table, "192.0.2.1")[2] == GATEWAY
    assert table.next_timeout() is None


def test_a_redirect_to_the_destination_itself_makes_it_a_neighbour(table: RouteTable) -> None:
    table.insert(entry(table, "10.0.1.128/25", via=GATEWAY))
    there = number("10.0.1.200")
    route = table.resolve(there)
    route.link.neighbours.learn(there, bytes(6), 0.0)
    table.redirect(route, there, there, 0.0)
    assert table.resolve(there).gateway == 0


def test_a_redirect_off_the_link_or_to_ourselves_is_not_believed(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", via=GATEWAY))
    there = number("192.0.2.1")
    route = table.resolve(there)
    for wrong in ("10.0.2.7", "192.0.2.1", "10.0.1.1", "10.0.1.255", GATEWAY, "0.0.0.0"):
        route.link.neighbours.learn(number(wrong), bytes(6), 0.0)
        table.redirect(route, there, number(wrong), 0.0)
    assert route.generation == table.generation


def test_a_gateway_of_a_redirect_that_does_not_answer_is_given_up(table: RouteTable) -> None:
    table.insert(entry(table, "0.0.0.0/0", via=GATEWAY))
    there, nearer = number("192.0.2.1"), number("10.0.1.7")
    route = table.resolve(there)
    route.link.neighbours.learn(nearer, bytes(6), 0.0)
    table.redirect(route, there, nearer, 0.0)
    table.forget_redirect(there)
    assert way(table, "192.0.2.1")[2] == GATEWAY


def test_redirects_follow_one_another_and_are_bounded() -> None:
    redirects = Redirects()
    redirects.learn(1, 100, 101, 0.0)
    redirects.learn(1, 101, 102, 0.0)  # the second gateway knows a third
    assert redirects.gateway(1, 100) == 102
    assert redirects.gateway(1, 99) == 99, "the table names another gateway now"
    for destination in range(2, ENTRIES_MAX + 2):
        redirects.learn(destination, 100, 101, 1.0)
    assert redirects.gateway(1, 100) == 100
    assert redirects.gateway(2, 100) == 101
