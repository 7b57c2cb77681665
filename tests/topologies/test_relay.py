"""Which links have a relay, and what it is called."""

from __future__ import annotations

import msgspec
import pytest

from topologies.link import Link, Quality
from topologies.names import INTERFACE_NAME_MAX
from topologies.net import Net
from topologies.relay import relays
from topologies.shapes.registry import build
from topologies.topology import Topology

IMPAIRMENTS = {
    "delay_s": 0.001, "loss": 0.1, "duplicate": 0.1, "corrupt": 0.1, "ecn_threshold_bytes": 1000,
}  # fmt: skip


def with_links(topology: Topology, **quality: float) -> Topology:
    replace = msgspec.structs.replace
    return replace(topology, links=tuple(replace(link, **quality) for link in topology.links))


def test_a_rate_and_a_queue_need_no_relay() -> None:
    assert relays(with_links(build("star", 2), rate_bps=10**6, queue_packets=5)) == ()


@pytest.mark.parametrize("what", IMPAIRMENTS)
def test_every_impairment_needs_one(what: str) -> None:
    topology = with_links(build("star", 2), rate_bps=10**6, **{what: IMPAIRMENTS[what]})
    found = relays(topology)
    assert [relay.name for relay in found] == ["w1", "w2"]
    assert tuple(relay.link for relay in found) == topology.links
    assert (found[1].near.interface, found[1].far.interface) == ("w2-eth0", "w2-eth1")


def test_a_relay_has_no_name_of_the_topologys() -> None:
    net = Net()
    net.link(net.host("w1"), net.host("w3"), delay="1ms")
    net.link("w1", net.switch("s1"))
    net.link("w3", "s1", delay="1ms")
    (first, second) = relays(net.topology("mine"))
    assert (first.name, second.name) == ("w2", "w4")


def test_names_of_the_thousandth_relay_are_short_enough() -> None:
    assert len("w1000-eth1") <= INTERFACE_NAME_MAX


def test_chances_that_add_up_to_more_than_1_are_refused() -> None:
    assert Quality(loss=0.5, corrupt=0.5).obstacle() is None
    said = Quality(loss=0.5, corrupt=0.5, duplicate=0.1).obstacle()
    assert said == "loss, reorder, duplicate and corrupt add up to 1.1; make them 1 at most"


def test_links_of_one_kind_are_told_apart() -> None:
    a, b = build("star", 2).links
    assert isinstance(a, Link)
    assert a != b
