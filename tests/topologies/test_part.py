"""A topology divided among machines: nothing is lost or there twice, addresses are what they were."""

from __future__ import annotations

from itertools import chain

import pytest

from topologies.part import PORT, Part, Tunnel, homes, split, whole
from topologies.relay import relays
from topologies.shapes import registry
from topologies.topology import Topology
from topologies.topology_error import TopologyError

SHAPES = [
    ("star", 4), ("line", 5), ("ring", 6), ("dumbbell", 4), ("incast", 5), ("leaf_spine:leaves=4", 8),
    ("fat_tree", 16), ("storage", 8), ("rail_optimized", 4), ("dual_plane", 4), ("torus2d", 9),
]  # fmt: skip
ADDRESSES = ("10.9.0.1", "10.9.0.2", "10.9.0.3")


def divided(topology: Topology, machines: int = 3, **asked: int) -> tuple[Part, ...]:
    return split(topology, homes(topology, machines, asked), ADDRESSES[:machines], first_vni=1000)


def of(shape: str, hosts: int, link: str = "") -> Topology:
    return registry.build(shape, hosts, link=link)


@pytest.mark.parametrize("link", ["", "1Gbit,1ms"], ids=["plain", "relayed"])
@pytest.mark.parametrize(("shape", "hosts"), SHAPES)
def test_every_link_is_whole_in_one_part_or_has_halves_in_two(shape: str, hosts: int, link: str) -> None:
    topology = of(shape, hosts, link)
    parts = divided(topology)
    assert sorted(chain.from_iterable(part.nodes for part in parts)) == sorted(whole(topology).nodes)
    middles = {relay.link: relay for relay in relays(topology)}
    for each in topology.links:
        wholes = [part for part in parts if each in part.whole_links]
        halves = [tunnel for part in parts for tunnel in part.tunnels if tunnel.link == each.name]
        assert (len(wholes), len(halves)) in ((1, 0), (0, 2))
        if halves:
            one, other = halves
            assert one.vni == other.vni
            assert (one.local, one.remote) == (other.remote, other.local)
            assert one.local != one.remote
        pairs = [pair for part in parts for pair in part.pairs(each)]
        made = [*chain(*pairs), *(half.end for half in halves)]
        between = [middles[each].near, middles[each].far] if each in middles else []
        assert sorted(made, key=str) == sorted([*each.ends, *between], key=str)


@pytest.mark.parametrize(("shape", "hosts"), SHAPES)
def test_tunnels_of_two_links_never_meet(shape: str, hosts: int) -> None:
    tunnels = [tunnel for part in divided(of(shape, hosts)) for tunnel in part.tunnels]
    assert tunnels
    vnis = [tunnel.vni for tunnel in tunnels]
    assert all(vnis.count(vni) == 2 for vni in vnis)
    assert min(vnis) == 1000
    assert {tunnel.port for tunnel in tunnels} == {PORT}


@pytest.mark.parametrize(("shape", "hosts"), SHAPES)
def test_hosts_and_routers_are_the_same_as_undivided(shape: str, hosts: int) -> None:
    topology = of(shape, hosts, "1Gbit,1ms")
    parts, one = divided(topology), whole(topology)
    for name in ("hosts", "switches", "routers", "relays"):
        found = [each for part in parts for each in getattr(part, name)]
        assert sorted(found, key=str) == sorted(getattr(one, name), key=str), name
    assert one.hosts == topology.hosts
    assert one.tunnels == ()
    assert one.whole_links == topology.links


def test_a_relay_is_at_its_links_first_end_and_the_tunnel_behind_it() -> None:
    (link,) = (topology := of("pair", 2, "1Gbit,1ms")).links
    near, far = divided(topology, 2)
    (relay,) = near.relays
    assert far.relays == ()
    assert near.pairs(link) == ((link.a, relay.near),)
    assert far.pairs(link) == ()
    assert [tunnel.end for tunnel in (*near.tunnels, *far.tunnels)] == [relay.far, link.b]


def test_hosts_are_divided_evenly_and_switches_go_to_their_neighbours() -> None:
    found = homes(of("leaf_spine", 4), 2)
    assert [found[name] for name in ("h1", "h2", "h3", "h4")] == [0, 0, 1, 1]
    assert [found[name] for name in ("leaf1", "leaf2")] == [0, 1]
    assert found["spine1"] != found["spine2"], "of two like machines the one with fewer switches"
    assert homes(of("dumbbell", 4), 2) == {"h1": 0, "h2": 0, "h3": 1, "h4": 1, "left": 0, "right": 1}
    assert set(homes(of("star", 5), 2).values()) == {0, 1}


def test_what_is_asked_for_stands_and_others_follow_it() -> None:
    found = homes(of("leaf_spine", 4), 2, {"h1": 1, "h2": 1, "h3": 0, "h4": 0, "spine1": 1})
    assert [found[name] for name in ("h1", "h4", "leaf1", "leaf2", "spine1")] == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("machines", "asked", "said"),
    [
        (2, {"h9": 1}, "there is no host or switch 'h9'; choose from h1, h2, h3, h4, s1"),
        (2, {"h1": 2}, "there is no machine 3; choose from 1 to 2"),
        (2, {"h1": -1}, "there is no machine 0; choose from 1 to 2"),
        (5, {}, "machine 5 of 5 has no host of 4; ask for fewer machines"),
        (2, {"h1": 1, "h2": 1}, "machine 1 of 2 has no host of 4; ask for fewer machines"),
    ],
)
def test_what_cannot_be_is_refused(machines: int, asked: dict[str, int], said: str) -> None:
    with pytest.raises(TopologyError) as refused:
        homes(of("star", 4), machines, asked)
    assert str(refused.value) == said


def test_what_a_tunnel_adds_to_a_packet() -> None:
    end = of("pair", 2).links[0].a
    assert Tunnel("l", end, 1, "10.9.0.1", "10.9.0.2", PORT).header_bytes == 20 + 8 + 8 + 14
    assert Tunnel("l", end, 1, "fd00::1", "fd00::2", PORT).header_bytes == 40 + 8 + 8 + 14
