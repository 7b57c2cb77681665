"""A link's token bucket: its burst fits the rate and a super-packet, and the kernel's answer is checked."""

from __future__ import annotations

import json

import pytest

from topologies.link import GSO_LEGACY_MAX_BYTES, GSO_MAX_BYTES, Link, LinkEnd
from topologies.mininet.qdisc import TokenBucket, buckets, check, token_bucket
from topologies.shapes.registry import build
from topologies.topology_error import TopologyError


def link(rate_bps: int, gso_max_bytes: int = GSO_LEGACY_MAX_BYTES, queue_packets: int = 0) -> Link:
    ends = LinkEnd("h1", "h1-eth0"), LinkEnd("h2", "h2-eth0")
    return Link(*ends, gso_max_bytes=gso_max_bytes, rate_bps=rate_bps, queue_packets=queue_packets)


@pytest.mark.parametrize(
    ("rate_bps", "gso_max_bytes", "burst"),
    [
        (100_000_000, GSO_LEGACY_MAX_BYTES, 73_728),
        (10_000_000_000, GSO_LEGACY_MAX_BYTES, 1_250_000),
        (10_000_000, GSO_MAX_BYTES, 589_815),
    ],
)
def test_the_burst_is_a_millisecond_of_the_rate_or_one_super_packet(
    rate_bps: int, gso_max_bytes: int, burst: int
) -> None:
    bucket = token_bucket(link(rate_bps, gso_max_bytes))
    assert (bucket.rate, bucket.burst) == (rate_bps // 8, burst)
    assert bucket.burst >= gso_max_bytes * 1.1, "a super-packet and the headers of its wire packets"


def test_a_queue_counts_wire_packets_and_holds_one_super_packet_at_least() -> None:
    assert token_bucket(link(10**9, queue_packets=200)).limit == 200 * 1514
    assert token_bucket(link(10**9, queue_packets=3)).limit == 73_728
    assert token_bucket(link(10**9)).limit == 1000 * 1514


def test_both_ends_of_a_link_with_a_rate_have_a_bucket() -> None:
    found = buckets(build("star", 2, link="1Gbit").links)
    assert {node: [*names] for node, names in found.items()} == {
        "h1": ["h1-eth0"], "h2": ["h2-eth0"], "s1": ["s1-eth1", "s1-eth2"],
    }  # fmt: skip
    assert buckets(build("star", 2).links) == {}


def test_each_end_has_the_rate_of_its_direction() -> None:
    found = buckets(build("pair", 2, link="10Mbit/100Mbit").links)
    assert found["h1"]["h1-eth0"].rate * 8 == 10_000_000
    assert found["h2"]["h2-eth0"].rate * 8 == 100_000_000
    (only,) = build("pair", 2, link="10Mbit/100Mbit,ecn_threshold=30K").links
    assert only.is_relayed
    assert buckets([only]) == {}


def test_what_the_kernel_says_is_compared_with_what_was_asked() -> None:
    asked = {"h1-eth0": TokenBucket(125_000_000, 125_000, 1_514_000)}
    assert asked["h1-eth0"].line("h1-eth0") == (
        "qdisc replace dev h1-eth0 root tbf rate 1000000000bit burst 125000 limit 1514000"
    )
    check(json.dumps([{"kind": "tbf", "dev": "h1-eth0", "options": {"rate": 125_000_000}}]).encode(), asked)
    for shown in (
        [{"kind": "noqueue", "dev": "h1-eth0", "options": {}}],
        [{"kind": "tbf", "dev": "h1-eth0", "options": {"rate": 93_000_000}}],
        [],
    ):
        with pytest.raises(TopologyError, match="interface h1-eth0 was asked for 1000000000 bit/s, and the"):
            check(json.dumps(shown).encode(), asked)
