"""A link that gets another rate, and its own back: that of each direction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from topologies.mininet import batch, link_states
from topologies.mininet.link_states import LinkStates
from topologies.mininet.qdisc import TokenBucket
from topologies.shapes.registry import build


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bits a second of interfaces, as they are given; 0 where the token bucket is taken away."""
    found: dict[str, int] = {}

    def give(_node: object, buckets: Mapping[str, TokenBucket]) -> None:
        found.update({name: 8 * bucket.rate for name, bucket in buckets.items()})

    def run(_node: object, argv: list[str], lines: list[str]) -> None:
        assert argv[0] == "tc"
        found.update({line.split()[3]: 0 for line in lines})

    monkeypatch.setattr(link_states, "give_rates", give)
    monkeypatch.setattr(batch, "run", run)
    return found


def states(link: str) -> LinkStates:
    net: Any = defaultdict(object)
    return LinkStates(net, build("pair", 2, link=link))


def test_both_directions_have_a_faults_rate_and_each_its_own_afterwards(rates: dict[str, int]) -> None:
    pair = states("10Mbit/100Mbit")
    pair.set([], {"h1-eth0": 5_000_000})
    assert rates == {"h1-eth0": 5_000_000, "h2-eth0": 5_000_000}
    pair.set([], {})
    assert rates == {"h1-eth0": 10_000_000, "h2-eth0": 100_000_000}


def test_a_direction_that_has_the_rate_already_is_left_alone(rates: dict[str, int]) -> None:
    pair = states("10Mbit/100Mbit")
    pair.set([], {"h1-eth0": 10_000_000})
    assert rates == {"h2-eth0": 10_000_000}


def test_a_link_without_a_rate_has_none_afterwards(rates: dict[str, int]) -> None:
    pair = states("")
    pair.set([], {"h1-eth0": 5_000_000})
    pair.set([], {})
    assert rates == {"h1-eth0": 0, "h2-eth0": 0}
