"""Following tables notices those that lead nowhere, or round in a loop."""

from __future__ import annotations

import msgspec
import pytest

from topologies.net import Net
from topologies.routing import Paths
from topologies.shapes.registry import build
from topologies.switch import NextHop, Route
from topologies.topology import Topology
from topologies.topology_error import TopologyError


def ring_with(routes: dict[str, tuple[Route, ...]]) -> Topology:
    """Three routers in a ring, whose tables are replaced."""
    ring = build("ring", 3)
    switches = [
        msgspec.structs.replace(each, routes=routes.get(each.name, each.routes)) for each in ring.switches
    ]
    return msgspec.structs.replace(ring, switches=tuple(switches))


def test_a_path_is_the_interfaces_that_a_packet_leaves_by() -> None:
    assert list(Paths(build("ring", 4)).between("r1", "10.2.0.0/16")) == [
        ("r1-eth2", "r2-eth3"),
        ("r1-eth3", "r4-eth2"),
    ]
    assert list(Paths(build("ring", 4)).between("r1", "10.0.0.0/16")) == [()]


def test_tables_that_lead_round_are_noticed() -> None:
    first, second = (
        next(port for port in build("ring", 3).switch(name).uplinks if port.interface == interface)
        for name, interface in (("r1", "r1-eth2"), ("r2", "r2-eth2"))
    )
    there = Route("10.2.0.0/16", (NextHop(second.address.partition("/")[0], "r1-eth2"),))
    back = Route("10.2.0.0/16", (NextHop(first.address.partition("/")[0], "r2-eth2"),))
    broken = Paths(ring_with({"r1": (there,), "r2": (back,)}))
    with pytest.raises(TopologyError, match=r"packets to 10.2.0.0/16 come round to r1 again"):
        list(broken.between("r1", "10.2.0.0/16"))


def test_tables_that_lead_nowhere_are_noticed() -> None:
    broken = Paths(ring_with({"r1": ()}))
    with pytest.raises(TopologyError, match=r"router r1 has no route to 10.2.0.0/16"):
        broken.count("r1", "10.2.0.0/16")


def test_parallel_links_are_paths_of_their_own() -> None:
    net = Net()
    left, right = net.router(), net.router()
    for router in (left, right):
        net.link(net.host(), router)
    for _ in range(3):
        net.link(left, right)
    assert Paths(net.topology("mine")).count("r1", "10.1.0.0/16") == 3
