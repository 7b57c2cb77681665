"""Which NIC a connection goes by, at both of its ends."""

from __future__ import annotations

import pytest

from nodes.machine.accelerator import Slot
from workloads.experiment.records import Address, LocalRank, NicPlace, RankPlace
from workloads.transports.rails import Flow, Rails


def place(rank: int = 0, own: int = 0, networks: tuple[int, ...] = (0, 0), local: int = 1) -> RankPlace:
    """A rank whose accelerator is beside NIC `own`, on a host of `local` ranks."""
    nics = tuple(NicPlace(f"eth{at}", f"10.0.{at}.1", network, at) for at, network in enumerate(networks))
    ranks = tuple(LocalRank(at, f"eth{at if local > 1 else own}") for at in range(local))
    return RankPlace(rank, "h1", "-", Slot(nic=f"eth{own}"), nics, ranks)


def both_ends(
    sender: RankPlace, receiver: RankPlace, flows: int, channels: int = 1
) -> list[tuple[str, str]]:
    """Interfaces of each connection, the sender's first."""
    sends = Rails(sender, sender.nics_for(flows), flows)
    hears = Rails(receiver, receiver.nics_for(flows), flows)
    found = []
    for flow in (Flow(9, number) for number in range(flows * channels)):
        there = hears.listening(flow)
        near = sends.towards(flow, Address("", 1, there.network, there.rail))
        found.append((near.interface, there.interface))
    return found


@pytest.mark.parametrize(
    ("sender", "receiver", "flows", "expected"),
    [
        (place(), place(), 1, [(0, 0)]),
        (place(), place(), 2, [(0, 0), (1, 1)]),
        (place(), place(), 3, [(0, 0), (1, 1), (0, 0)]),
        (place(networks=(0, 1)), place(networks=(0, 1)), 2, [(0, 0), (1, 1)]),
        # Its own first at the receiver, whose rail the sender takes.
        (place(own=1), place(), 2, [(0, 0), (1, 1)]),
        # One end has one NIC, so its rail and then the turn decide.
        (place(), place(networks=(0,)), 2, [(0, 0), (0, 0)]),
        (place(networks=(0,)), place(), 2, [(0, 0), (0, 1)]),
        # Rank 0 of two, each with a NIC, does not take the other's.
        (place(local=2), place(local=2), 2, [(0, 0), (0, 0)]),
        # Its own NIC does not reach that network.
        (place(networks=(0, 1)), place(networks=(1,)), 1, [(1, 0)]),
    ],
)
def test_a_connection_has_a_nic_at_both_ends_of_the_same_rail_where_that_can_be(
    sender: RankPlace, receiver: RankPlace, flows: int, expected: list[tuple[int, int]]
) -> None:
    found = both_ends(sender, receiver, flows)
    assert found == [(f"eth{near}", f"eth{far}") for near, far in expected]


def test_each_channel_takes_all_nics() -> None:
    assert both_ends(place(), place(), 2, channels=2) == [("eth0", "eth0"), ("eth1", "eth1")] * 2


def test_nics_of_no_rank_are_dealt_to_the_ranks_of_the_host() -> None:
    ranks = [place(rank, rank, (0,) * 5, local=2) for rank in (0, 1)]
    assert [[nic.rail for nic in each.nics_for(4)] for each in ranks] == [[0, 2, 4], [1, 3]]
    assert [[nic.rail for nic in each.nics_for(2)] for each in ranks] == [[0, 2], [1, 3]]
    assert [[nic.rail for nic in each.nics_for(1)] for each in ranks] == [[0], [1]]
    own, dealt = ranks[1].nics_for(2)
    assert (ranks[1].sharing(own), ranks[1].sharing(dealt)) == ((1,), (1,))


def test_bytes_by_another_nic_than_the_accelerators_are_far() -> None:
    rails = Rails(place(), place().nics_for(2), 2)
    flows = [Flow(9, number) for number in range(2)]
    for flow in flows:
        nic = rails.listening(flow)
        rails.towards(flow, Address("", 1, nic.network, nic.rail))
    assert rails.far_bytes(dict.fromkeys(flows, 10), {flows[0]: 7, flows[1]: 5}) == (10, 5)
