"""What `ip` is told of routers and of hosts with several NICs."""

from __future__ import annotations

from topologies.mininet.routing import host_lines, link_lines, router_lines
from topologies.shapes.registry import build


def test_a_host_with_one_nic_and_no_router_needs_its_ipv6_address_only() -> None:
    host = build("star", 2).host("h1")
    assert host_lines(host, 4) == []
    assert host_lines(host, 6) == ["addr add fd00::1/64 dev h1-eth0 nodad"]


def test_the_first_nic_has_the_default_route_and_each_other_answers_by_itself() -> None:
    host = build("rail_optimized:hosts=2,rails=2").host("h2")
    assert host_lines(host, 4) == [
        "rule add from 10.1.0.2 table 101",
        "route replace default via 10.0.255.254 dev h2-eth0",
        "route replace 10.1.0.0/16 dev h2-eth1 table 101",
        "route replace default via 10.1.255.254 dev h2-eth1 table 101",
    ]


def test_a_router_has_its_addresses_and_every_equal_path() -> None:
    leaf = build("leaf_spine:leaves=2,spines=2,hosts=2").switch("leaf1")
    assert router_lines(leaf, 4) == [
        "addr add 10.0.255.254/16 dev leaf1",
        "addr add 172.16.0.0/31 dev leaf1-eth1",
        "addr add 172.16.0.2/31 dev leaf1-eth2",
        "route replace 10.1.0.0/16 nexthop via 172.16.0.1 dev leaf1-eth1 "
        "nexthop via 172.16.0.3 dev leaf1-eth2",
    ]
    assert router_lines(leaf, 6)[-1] == (
        "route replace fd00:1::/64 nexthop via fd01::1 dev leaf1-eth1 nexthop via fd01:1::1 dev leaf1-eth2"
    )
    assert link_lines(leaf, ["leaf1-eth3"])[-3:] == [
        "link add leaf1 address 02:00:0a:00:ff:fe type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set leaf1-eth3 master leaf1",
        "link set leaf1 up",
    ]
