"""Every shape: what it has, how far its tables lead, what it refuses."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import msgspec
import pytest

from topologies.address_plan import HOSTS_MAX
from topologies.host import Nic
from topologies.link_options import LinkOptions
from topologies.net import Net, spread
from topologies.routing import Paths
from topologies.shapes.registry import SHAPES, build
from topologies.topology import Topology
from topologies.topology_error import TopologyError

SMALL = (
    "pair", "star", "line", "ring", "ring:hosts=5", "dumbbell", "incast", "leaf_spine",
    "leaf_spine:leaves=3,spines=2,hosts=7", "fat_tree", "fat_tree:k=2", "fat_tree:k=4,hosts=5", "storage",
    "rail_optimized", "rail_optimized:rails=2,spines=1,hosts=3", "a3", "dual_plane", "torus2d",
    "torus2d:rows=2,columns=4", "torus2d:rows=2,columns=2", "torus2d:rows=4,columns=5",
)  # fmt: skip


def segment_of(topology: Topology) -> dict[str, int]:
    """The number of its segment, by the interface of a NIC."""
    return {end.interface: each.number for each in topology.segments() for end in each.nics}


def prefix(segment: int, version: int) -> str:
    return f"10.{segment}.0.0/16" if version == 4 else f"fd00:{segment}::/64" if segment else "fd00::/64"


def routers_of(topology: Topology) -> dict[str, str]:
    """The gateway's router, by its address."""
    return {
        address.partition("/")[0]: router.name
        for router in topology.routers
        for address in (router.local.addresses if router.local else ())
    }


def leaves_by(nics: tuple[Nic, ...], destination: str) -> str:
    """The gateway that a host sends a packet for the prefix `destination` to."""
    for nic in nics:
        for route in nic.routes:
            if route.prefix == destination:
                return route.gateway
    gateways = [nic.gateway6 if ":" in destination else nic.gateway for nic in nics]
    return next(filter(None, gateways))


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize("version", [4, 6])
def test_every_pair_of_hosts_is_reached_by_following_the_tables(text: str, version: int) -> None:
    topology = build(text)
    segments, routers, paths = segment_of(topology), routers_of(topology), Paths(topology)
    for near, far in itertools.permutations(topology.hosts, 2):
        own = {segments[nic.interface] for nic in near.nics}
        for nic in far.nics:
            if (number := segments[nic.interface]) not in own:
                destination = prefix(number, version)
                start = routers[leaves_by(near.nics, destination)]
                found = list(paths.between(start, destination))  # raises where packets stop or go round
                assert len(found) == len(set(found)) == paths.count(start, destination) >= 1
                assert len({len(path) for path in found}) == 1, "paths of unequal length"


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize("version", [4, 6])
def test_every_route_of_every_router_leads_to_its_prefix(text: str, version: int) -> None:
    topology = build(text)
    paths = Paths(topology)
    for router in topology.routers:
        for route in router.routes:
            if (":" in route.prefix) is (version == 6):
                assert list(paths.between(router.name, route.prefix))


def counts(text: str, version: int = 4) -> Counter[int]:
    """How many pairs of gateways have so many equal-cost paths."""
    topology = build(text)
    paths = Paths(topology)
    found: Counter[int] = Counter()
    for router in topology.routers:
        if router.local:
            prefixes = [route.prefix for route in router.routes if (":" in route.prefix) is (version == 6)]
            found.update(paths.count(router.name, each) for each in prefixes)
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("spines", [1, 2, 5])
def test_two_leaves_have_a_path_over_each_spine(spines: int, version: int) -> None:
    assert counts(f"leaf_spine:leaves=4,spines={spines}", version) == {spines: 4 * 3}
    assert counts(f"storage:spines={spines}", version) == {spines: 2}


@pytest.mark.parametrize("k", [2, 4, 6])
def test_edges_of_a_fat_tree_have_as_many_paths_as_theory_has_it(k: int) -> None:
    """k/2 within a pod, over its aggregation routers; (k/2)^2 between pods, one a core."""
    within, between = k * (k // 2) * (k // 2 - 1), (k * k // 2) * (k * k // 2 - k // 2)
    expected = Counter({k // 2: within}) + Counter({(k // 2) ** 2: between})
    assert counts(f"fat_tree:k={k}") == expected


@pytest.mark.parametrize("hosts", [3, 4, 7, 8])
def test_only_opposite_routers_of_a_ring_have_two_paths(hosts: int) -> None:
    opposite = hosts if hosts % 2 == 0 else 0
    expected = Counter({1: hosts * (hosts - 1) - opposite}) + Counter({2: opposite})
    assert counts(f"ring:hosts={hosts}") == expected


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 4), (4, 4), (3, 5), (2, 2)])
def test_routers_of_a_torus_have_as_many_paths_as_theory_has_it(rows: int, columns: int) -> None:
    """The orders of the steps, twice those for a circle gone half round; a circle of two is one link."""
    expected: Counter[int] = Counter()
    for row, column in itertools.product(range(rows), range(columns)):
        down, right = min(row, rows - row), min(column, columns - column)
        ways = math.comb(down + right, down)
        for side, steps in ((rows, down), (columns, right)):
            ways *= 2 if side > 2 and 2 * steps == side else 1
        if (row, column) != (0, 0):
            expected[ways] += rows * columns
    assert counts(f"torus2d:rows={rows},columns={columns}") == expected


def test_rails_meet_over_each_spine_and_planes_never() -> None:
    assert counts("rail_optimized:rails=4,spines=3,hosts=3") == {3: 4 * 3}
    assert counts("dual_plane:leaves=3,spines=2") == {2: 2 * 3 * 2}  # within each plane
    topology = build("dual_plane")
    planes = {(a.node[0], b.node[0]) for a, b in (link.ends for link in topology.links)}
    assert planes == {("a", "a"), ("b", "b"), ("h", "a"), ("h", "b")}


def test_a_host_of_two_planes_has_routes_by_the_second_and_of_rails_none() -> None:
    first, second = build("dual_plane").hosts[0].nics
    assert (first.gateway, first.routes) == ("10.0.255.254", ())
    assert second.gateway == "10.1.255.254"
    assert [(route.prefix, route.gateway) for route in second.routes] == [
        ("10.3.0.0/16", "10.1.255.254"),
        ("fd00:3::/64", "fd00:1::ffff"),
    ]
    assert all(nic.routes == () for host in build("rail_optimized").hosts for nic in host.nics)


@pytest.mark.parametrize("name", SHAPES)
def test_every_number_of_hosts_is_built_or_refused_with_the_numbers(name: str) -> None:
    fewest, most = int(SHAPES[name].hosts.min), int(SHAPES[name].hosts.max)
    assert len(build(name, fewest).hosts) == fewest
    for hosts in range(fewest, min(most, 9) + 1):
        if refusal := refused(name, hosts):
            assert name == "torus2d"  # rows times columns; every other shape has as many as are asked for
            assert f"topology {name} cannot have {hosts} hosts; choose" in refusal
        else:
            built = build(name, hosts).hosts
            assert [host.name for host in built] == [f"h{index}" for index in range(1, hosts + 1)]
    for hosts in (fewest - 1, most + 1):
        assert f"topology {name} cannot have {hosts} hosts; choose {fewest}" in refused(name, hosts)


def refused(text: str, hosts: int | None = None) -> str:
    """The sentence, "" if it is built."""
    try:
        build(text, hosts)
    except TopologyError as reason:
        return str(reason)
    return ""


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_says_what_its_parameters_are(name: str) -> None:
    shape = SHAPES[name]
    assert shape.description
    assert "\n" not in shape.description
    assert "hosts" in shape.parameters
    for each in shape.parameters.values():
        assert each.parameter.help
        assert each.default == 0 or each.parameter.min <= each.default <= each.parameter.max
        assert each.parameter.max <= HOSTS_MAX


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_survives_json(name: str) -> None:
    topology = build(name)
    assert msgspec.json.decode(msgspec.json.encode(topology), type=Topology) == topology


def ports(topology: Topology) -> dict[str, int]:
    """Links of each node."""
    return Counter(end.node for link in topology.links for end in link.ends)


def test_hosts_are_spread_over_leaves_evenly() -> None:
    assert spread(7, 3) == [3, 2, 2]
    topology = build("leaf_spine:leaves=3,spines=2", 7)
    assert [len(each.nics) for each in topology.segments()] == [3, 2, 2]
    assert [end.node for end in topology.segments()[1].nics] == ["h4", "h5"]


def test_a_fat_tree_grows_with_its_hosts() -> None:
    assert [len(build("fat_tree", hosts).switches) for hosts in (2, 3, 16, 17)] == [5, 20, 20, 45]
    full = build("fat_tree:k=4")
    assert len(full.hosts) == 16
    assert {count for name, count in ports(full).items() if not name.startswith("h")} == {4}


def test_a_torus_is_as_square_as_its_hosts_allow() -> None:
    for hosts, links in ((9, 18), (12, 24), (8, 12), (4, 4)):  # a circle of two is one link
        topology = build("torus2d", hosts)
        assert len(topology.links) == links + hosts
    with pytest.raises(TopologyError, match=r"cannot have 7 hosts; choose rows times .* as 4, 6, 8, 9, 10"):
        build("torus2d", 7)
    with pytest.raises(TopologyError, match="cannot have 10 hosts rows=3;"):
        build("torus2d:rows=3", 10)


def test_a_host_of_rails_has_a_nic_and_an_accelerator_on_each() -> None:
    host = build("rail_optimized:rails=4,accelerators=8").hosts[1]
    assert [nic.interface for nic in host.nics] == ["h2-eth0", "h2-eth1", "h2-eth2", "h2-eth3"]
    assert [each.nic[-1] for each in host.accelerators] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    assert [nic.kernel_address for nic in host.nics] == [f"10.{rail}.0.2/16" for rail in range(4)]


def test_the_last_hosts_of_storage_store() -> None:
    roles = [(host.role, len(host.accelerators)) for host in build("storage", 8).hosts]
    assert roles == [("compute", 1)] * 6 + [("storage", 0)] * 2
    assert [host.role for host in build("storage:storage=3", 4).hosts].count("storage") == 3


def test_links_are_as_fast_as_was_asked_and_the_bottleneck_as_was_asked_of_it() -> None:
    asked = build("dumbbell", 4, link="1Gbit,50us", bottleneck="100Mbit")
    rates = {str(link): (link.rate_bps, link.delay_s) for link in asked.links}
    assert rates.pop("left-eth1<->right-eth1") == (100_000_000, 50e-6)
    assert set(rates.values()) == {(1_000_000_000, 50e-6)}
    slow = [link for link in build("incast", 4, bottleneck="10Mbit,1ms").links if link.rate_bps]
    assert [(str(link), link.delay_s) for link in slow] == [("h1-eth0<->s1-eth1", 1e-3)]
    with pytest.raises(TopologyError, match="topology star has no bottleneck; leave it out"):
        build("star", bottleneck="1Gbit")


def test_uplinks_of_an_oversubscribed_leaf_carry_so_much_less() -> None:
    topology = build("leaf_spine:leaves=2,spines=2,hosts=8,oversubscription=2", link="1Gbit")
    rates = {link.a.node[0]: link.rate_bps for link in topology.links}
    assert rates == {"l": 1_000_000_000, "h": 1_000_000_000}  # 4 Gbit of hosts over 2 links at 2 to 1
    faster = build("leaf_spine:leaves=2,spines=2,hosts=8,oversubscription=1", link="1Gbit")
    assert {link.rate_bps for link in faster.links if link.a.node == "leaf1"} == {2_000_000_000}
    with pytest.raises(TopologyError, match="oversubscription needs the rate of the hosts' links"):
        build("leaf_spine:oversubscription=2")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("leaf_spine:leaves=99", "topology leaf_spine cannot have leaves=99; choose 2 to 64"),
        ("leaf_spine:leaves=x", "topology leaf_spine cannot have leaves=x; choose 2 to 64"),
        ("leaf_spine:leaves=2.5", "topology leaf_spine cannot have leaves=2.5; choose 2 to 64"),
        ("leaf_spine:oversubscription=nan", "cannot have oversubscription=nan; choose 0.1 to 100"),
        ("leaf_spine:pods=2", "topology leaf_spine has no parameter 'pods'; choose from hosts=, leaves="),
        ("leaf_spine:leaves", "parameter leaves of topology leaf_spine has no value; write leaves=VALUE"),
        ("leaf_spine:", "topology leaf_spine has no parameter ''; choose"),
        ("leaf_spine:leaves=2,leaves=3", "parameter of topology leaf_spine 'leaves' is used 2 times"),
        ("leaf_spine:leaves=4,hosts=3", "topology leaf_spine cannot have 3 hosts on 4 leaves; choose 4 or"),
        ("dual_plane:leaves=4,hosts=3", "topology dual_plane cannot have 3 hosts on 4 leaves; choose 4 or"),
        ("fat_tree:k=3", "topology fat_tree cannot have k=3, which is odd; choose an even one"),
        ("fat_tree:k=4,hosts=17", "topology fat_tree cannot have 17 hosts with k=4; choose 2 to 16"),
        ("storage:storage=4", "topology storage cannot have 4 hosts with storage=4; choose 5 or more"),
        ("blob:leaves=4", "there is no topology 'blob'; choose one of pair, star, line"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(text: str, sentence: str) -> None:
    assert sentence in refused(text)


def test_hosts_are_said_once() -> None:
    assert len(build("star:hosts=3").hosts) == len(build("star:hosts=3", 3).hosts) == 3
    with pytest.raises(TopologyError, match="topology star:hosts=3 has 3 hosts and not 4; say it once"):
        build("star:hosts=3", 4)


def test_a_net_refuses_one_host_too_many_before_anything_is_drawn() -> None:
    net = Net()
    for _ in range(HOSTS_MAX):
        net.host()
    with pytest.raises(TopologyError, match="more than 1024 hosts; ask for fewer"):
        net.host()


def test_a_link_of_a_net_ends_at_what_was_added() -> None:
    net = Net(LinkOptions(rate="1Gbit", delay="1ms"))
    host, switch = net.host(), net.switch()
    net.link(host, switch, delay="2ms")
    (link,) = net.topology("mine").links
    assert (link.rate_bps, link.delay_s) == (1_000_000_000, 2e-3)
    with pytest.raises(TopologyError, match="a link ends at 's2', which is no host or switch; add it"):
        net.link(host, "s2")
