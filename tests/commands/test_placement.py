"""Ranks are placed by host and accelerator, and use the NIC of their accelerator's PCIe switch."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from commands.placement import of_first, placement
from commands.usage import UsageError
from topologies.shapes.registry import build
from workloads.experiment.records import LocalRank, NicPlace, RankPlace

TWO_BY_TWO = "rail_optimized:rails=2,accelerators=4,spines=1"


def where(places: tuple[RankPlace, ...]) -> list[tuple[int, str, str, str]]:
    return [(each.rank, each.host, each.slot.name, each.slot.nic) for each in places]


def test_a_rank_sits_on_each_accelerator_in_the_order_of_hosts() -> None:
    places = placement(build(TWO_BY_TWO), None, {"h1": "/c/h1", "h2": "/c/h2"})
    assert where(places) == [
        (0, "h1", "accel0", "h1-eth0"), (1, "h1", "accel1", "h1-eth0"),
        (2, "h1", "accel2", "h1-eth1"), (3, "h1", "accel3", "h1-eth1"),
        (4, "h2", "accel0", "h2-eth0"), (5, "h2", "accel1", "h2-eth0"),
        (6, "h2", "accel2", "h2-eth1"), (7, "h2", "accel3", "h2-eth1"),
    ]  # fmt: skip
    assert [place.channel for place in places[3:5]] == ["/c/h1", "/c/h2"]
    assert [place.on_nic for place in places[::2]] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [place.rank for place in places if place.leads_nic] == [0, 2, 4, 6]
    assert [place.rank for place in places if place.leads_host] == [0, 4]
    assert [rank for rank in range(8) if places[5].is_local(rank)] == [4, 6, 7]


def test_an_a3_host_has_four_nics_with_two_accelerators_each() -> None:
    places = placement(build("a3"))
    assert Counter(place.slot.nic for place in places) == {
        f"{host}-eth{nic}": 2 for host in ("h1", "h2") for nic in range(4)
    }


@pytest.mark.parametrize(
    ("per_host", "accelerators"), [(1, [0]), (2, [0, 4]), (3, [0, 2, 5]), (4, [0, 2, 4, 6])]
)
def test_fewer_ranks_are_spread_over_the_nics(per_host: int, accelerators: list[int]) -> None:
    places = placement(build("a3"), per_host)
    names = [f"accel{number}" for number in accelerators]
    assert [place.slot.name for place in places if place.host == "h2"] == names
    assert max(Counter(place.slot.nic for place in places).values()) == 1


def test_a_host_has_one_rank_where_nothing_else_is_said() -> None:
    assert where(placement(build("storage"))) == [
        (0, "h1", "accel0", "h1-eth0"), (1, "h2", "accel0", "h2-eth0"), (2, "h3", "accel0", "h3-eth0"),
        (3, "h4", "", "h4-eth0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "count", "sentence"),
    [
        ("pair", 2, "--ranks-per-host 2: host h1 has 1 accelerator, and each rank needs one of its own"),
        ("storage", 2, "host h1 has 1 accelerator, and each rank needs one of its own; ask for 1 or fewer"),
        (TWO_BY_TWO, 5, "host h1 has 4 accelerators, and each rank needs one of its own; ask for 4 or fewer"),
    ],
)  # fmt: skip
def test_more_ranks_than_accelerators_are_refused(words: str, count: int, sentence: str) -> None:
    with pytest.raises(UsageError) as reason:
        placement(build(words), count)
    assert sentence in str(reason.value)


def test_a_place_knows_the_addresses_of_linux_and_which_nics_reach_each_other() -> None:
    places = placement(build(TWO_BY_TWO))
    assert [nic.kernel_address for nic in places[5].nics] == ["10.0.0.2", "10.1.0.2"]
    assert places[5].nic.interface == "h2-eth0"
    assert len({nic.network for place in places for nic in place.nics}) == 1, "spines join the rails"
    assert places[3].nic_to(places[4].nic.network).interface == "h1-eth1", "its own NIC will do"


def test_without_a_way_from_its_own_nic_a_rank_sends_by_another_one() -> None:
    places = placement(build("dual_plane", 2))
    first, second = places[0].nics
    assert first.network != second.network
    assert places[1].nic == second
    assert places[1].nic_to(places[2].nic.network) == first
    assert places[1].nic_to(places[3].nic.network) == second
    assert {place.nic.network for place in places[::2]} == {first.network}


def test_a_direct_link_is_a_network_too() -> None:
    assert len({place.nic.network for place in placement(build("pair"))}) == 1


def test_ranks_that_take_no_part_are_no_neighbours() -> None:
    places = of_first(placement(build(TWO_BY_TWO)), 3)
    assert [place.local for place in places] == [
        (LocalRank(0, "h1-eth0"), LocalRank(1, "h1-eth0"), LocalRank(2, "h1-eth1"))
    ] * 3
    assert places[2].on_nic == (2,)


def test_the_memory_of_an_accelerator_comes_along() -> None:
    topology = build("pair")
    first, second = topology.hosts
    (slot,) = first.accelerators
    small = msgspec.structs.replace(first, accelerators=(msgspec.structs.replace(slot, memory_bytes=7),))
    places = placement(msgspec.structs.replace(topology, hosts=(small, second)))
    assert [place.slot.memory_bytes for place in places] == [7, 0]
    assert places[0].nics == (NicPlace("h1-eth0", "10.0.0.1", 0),)


def test_one_rank_of_a_host_with_rails_has_all_of_them() -> None:
    places = placement(build("a3"), 1)
    rails = [nic.rail for nic in places[1].nics_for(8)]
    assert rails == [nic.rail for nic in places[1].nics] == [0, 1, 2, 3]
    assert [nic.interface for nic in places[1].nics_for(2)] == ["h2-eth0", "h2-eth1"]
