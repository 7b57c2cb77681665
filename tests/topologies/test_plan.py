"""The address plan, and what becomes of addresses that were given."""

from __future__ import annotations

import pytest

from topologies.address_plan import HOSTS_MAX, SegmentPlan, UplinkPlan, mac
from topologies.net import Net
from topologies.shapes.registry import build
from topologies.topology import Topology
from topologies.topology_error import TopologyError


def two_of(kind: str) -> Net:
    """Two hosts on a switch."""
    net = Net()
    middle = net.router() if kind == "router" else net.switch()
    for _ in range(2):
        net.link(net.host(), middle)
    return net


def test_segment_0_has_the_plan_of_a_single_network() -> None:
    plan = SegmentPlan(0)
    assert (plan.kernel(7, 0), plan.endpoint(7, 0)) == ("10.0.0.7/16", "10.0.1.7/16")
    assert (plan.kernel6(10, 0), plan.endpoint6(10, 0)) == ("fd00::10/64", "fd00::1:10/64")
    assert (plan.gateway, plan.gateway6) == ("10.0.255.254/16", "fd00::ffff/64")


def test_other_segments_have_their_number_in_every_address() -> None:
    plan = SegmentPlan(12)
    assert (plan.kernel(7, 0), plan.endpoint(7, 0)) == ("10.12.0.7/16", "10.12.1.7/16")
    assert (plan.kernel6(7, 0), plan.endpoint6(7, 0)) == ("fd00:12::7/64", "fd00:12::1:7/64")
    assert (plan.gateway, plan.gateway6) == ("10.12.255.254/16", "fd00:12::ffff/64")
    with pytest.raises(TopologyError, match="more than 256 segments"):
        SegmentPlan(256)


def test_no_two_hosts_of_the_largest_network_share_an_address() -> None:
    plan = SegmentPlan(3)
    assert (plan.kernel(254, 0), plan.kernel(255, 0)) == ("10.3.0.254/16", "10.3.48.1/16")
    assert (plan.endpoint(509, 0), plan.endpoint(255, 1)) == ("10.3.97.1/16", "10.3.51.1/16")
    hosts = range(1, HOSTS_MAX + 1)
    of_all = [give(host, copy) for host in hosts for copy in (0, 23) for give in (plan.kernel, plan.endpoint)]
    assert len({*of_all, plan.gateway}) == 4 * HOSTS_MAX + 1
    with pytest.raises(TopologyError, match="host 1 has more than 24 NICs in one segment"):
        plan.kernel(1, 24)


def test_links_between_routers_are_pairs_of_addresses() -> None:
    assert [UplinkPlan(0).address(side) for side in (0, 1)] == ["172.16.0.0/31", "172.16.0.1/31"]
    assert [UplinkPlan(0).address6(side) for side in (0, 1)] == ["fd01::/127", "fd01::1/127"]
    assert [UplinkPlan(300).address(side) for side in (0, 1)] == ["172.16.2.88/31", "172.16.2.89/31"]
    assert [UplinkPlan(300).address6(side) for side in (0, 1)] == ["fd01:12c::/127", "fd01:12c::1/127"]
    with pytest.raises(TopologyError, match="more than 65536 links between routers"):
        UplinkPlan(65536)


def test_a_mac_reads_as_the_address() -> None:
    assert mac("10.0.1.7/16") == "02:00:0a:00:01:07"


def test_two_nics_of_a_host_in_one_segment_have_addresses_of_their_own() -> None:
    net = Net()
    host, switch = net.host(accelerators=2), net.switch()
    for _ in range(2):
        net.link(host, switch)
    (built,) = net.topology("mine").hosts
    assert [nic.addresses for nic in built.nics] == [
        ("10.0.0.1/16", "10.0.1.1/16", "fd00::1/64", "fd00::1:1/64"),
        ("10.0.2.1/16", "10.0.3.1/16", "fd00::2:1/64", "fd00::3:1/64"),
    ]
    assert [each.nic for each in built.accelerators] == ["h1-eth0", "h1-eth1"]


def test_a_router_is_the_gateway_of_its_hosts_and_a_bridge_none() -> None:
    routed = two_of("router").topology("mine")
    local = routed.switches[0].local
    assert local is not None
    assert (local.interface, local.address, local.address6) == ("r1", "10.0.255.254/16", "fd00::ffff/64")
    assert {(nic.gateway, nic.gateway6) for host in routed.hosts for nic in host.nics} == {
        ("10.0.255.254", "fd00::ffff")
    }
    bridged = two_of("bridge").topology("mine")
    assert {(nic.gateway, nic.gateway6) for host in bridged.hosts for nic in host.nics} == {("", "")}


def test_hosts_behind_a_bridge_of_a_router_have_it_as_their_gateway() -> None:
    net = Net()
    router, bridge = net.router(), net.switch()
    net.link(router, bridge)
    net.link(net.host(), bridge)
    assert net.topology("mine").hosts[0].nics[0].gateway == "10.0.255.254"


def test_a_segment_with_a_small_mtu_has_no_ipv6_and_the_others_keep_it() -> None:
    net = Net()
    small, large = net.router(), net.router()
    net.link(net.host(), small, mtu=1000)
    net.link(net.host(), large)
    net.link(small, large)
    topology = net.topology("mine")
    first, second = (host.nics[0] for host in topology.hosts)
    assert (first.kernel_address6, first.endpoint_address6, first.gateway6) == ("", "", "")
    assert second.gateway6 == "fd00:1::ffff"
    assert [route.prefix for route in topology.switch("r2").routes] == ["10.0.0.0/16"]
    assert [route.prefix for route in topology.switch("r1").routes] == ["10.1.0.0/16", "fd00:1::/64"]


def test_ipv6_goes_round_a_link_that_carries_none() -> None:
    net = Net()
    routers = [net.router() for _ in range(3)]
    for here, after, mtu in ((0, 1, 1000), (1, 2, 1500), (2, 0, 1500)):
        net.link(net.host(), routers[here])
        net.link(routers[here], routers[after], mtu=mtu)
    routes = {route.prefix: route.next_hops for route in net.topology("mine").switch("r1").routes}
    assert [hop.interface for hop in routes["10.1.0.0/16"]] == ["r1-eth2"]
    assert [hop.interface for hop in routes["fd00:1::/64"]] == ["r1-eth3"]


def test_two_routers_in_a_segment_are_refused() -> None:
    net = Net()
    bridge = net.switch()
    for _ in range(2):
        net.link(net.router(), bridge)
    with pytest.raises(TopologyError, match="routers r1 and r2 are in one segment, where hosts have"):
        net.topology("mine")


def given(kind: str, *addresses: tuple[str, str], router: str = "") -> Topology:
    """Two hosts that were given these addresses: kernel's, endpoint's."""
    net = two_of(kind)
    for host, (kernel, endpoint) in zip(net.draft.hosts, addresses, strict=True):
        (nic,) = host.nics
        nic.kernel_address, nic.endpoint_address = kernel, endpoint
    net.draft.switches[0].address = router
    return net.topology("mine")


FIRST, SECOND = ("192.168.1.1/24", "192.168.1.11/24"), ("192.168.1.2/24", "192.168.1.12/24")


def test_addresses_that_were_given_are_kept() -> None:
    topology = given("router", FIRST, SECOND, router="192.168.1.254/24")
    nic = topology.hosts[1].nics[0]
    assert (nic.kernel_address, nic.endpoint_address) == SECOND
    assert (nic.kernel_mac, nic.gateway) == ("02:00:c0:a8:01:02", "192.168.1.254")
    assert (nic.kernel_address6, nic.gateway6) == ("fd00::2/64", "fd00::ffff")


def test_a_segment_has_all_of_its_addresses_given_or_none() -> None:
    with pytest.raises(TopologyError, match=r"kernel_address of h2-eth0 is missing beside 192.168.1.1/24 in"):
        given("bridge", FIRST, ("", SECOND[1]))
    with pytest.raises(TopologyError, match="address of router r1 is missing beside"):
        given("router", FIRST, SECOND)
    with pytest.raises(TopologyError, match=r"prefixes 192.168.1.0/24, 192.168.2.0/24; give them one prefix"):
        given("bridge", FIRST, ("192.168.2.2/24", SECOND[1]))
    with pytest.raises(TopologyError, match="kernel_address of h2-eth0 is 'two'; give an address and a"):
        given("bridge", FIRST, ("two", SECOND[1]))


def test_an_ipv6_address_on_a_link_that_carries_none_is_refused() -> None:
    net = Net()
    net.link(net.host(), net.host(), mtu=1000)
    for number, host in enumerate(net.draft.hosts, 1):
        host.nics[0].kernel_address6 = f"fd02::{number}/64"
        host.nics[0].endpoint_address6 = f"fd02::1:{number}/64"
    with pytest.raises(TopologyError, match="h1-eth0 was given an IPv6 address, and a link of its"):
        net.topology("mine")


def test_the_mtu_of_a_shape_is_that_of_all_its_links() -> None:
    assert {link.mtu for link in build("leaf_spine", mtu=9000).links} == {9000}
    assert {nic.gateway6 for host in build("ring", mtu=1279).hosts for nic in host.nics} == {""}
