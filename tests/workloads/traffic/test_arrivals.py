"""Flows arrive as often, and are as large, as was asked; bytes are due at the rate that was asked."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from topologies.traffic.flow_sizes import PUBLISHED, flow_sizes, mean_bytes
from workloads.traffic.arrivals import Arrival, Paced, Poisson
from workloads.traffic.config import Source

FLOWS = 20_000


def source(kind: str, **fields: Any) -> Source:
    given: dict[str, Any] = {"entry": 0, "protocol": "tcp", "rate_bps": 8e6, "peers": ("a",), "seed": "1"}
    return Source(kind=kind, **(given | fields))


def arrivals(sizes: str, count: int = FLOWS, seed: str = "1", peers: int = 1) -> list[Arrival]:
    asked = source("poisson", sizes=flow_sizes(sizes), seed=seed, peers=tuple("abcdef"[:peers]))
    process, found = Poisson(asked), list[Arrival]()
    while len(found) < count:
        found += process.take(process.next_s)
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_have_the_distribution_whose_points_they_are_drawn_from(name: str) -> None:
    drawn = sorted(each.size_bytes for each in arrivals(name))
    for size, share in flow_sizes(name)[1:-1]:
        found = bisect_right(drawn, size) / FLOWS
        assert found == pytest.approx(share, abs=5 * (share * (1 - share) / FLOWS) ** 0.5 + 1e-4)
    assert 1 <= drawn[0] <= drawn[-1] <= flow_sizes(name)[-1][0]


def test_gaps_are_exponential_with_the_mean_that_the_rate_asks_for() -> None:
    found = arrivals("hadoop")
    gaps = [b.at_s - a.at_s for a, b in pairwise(found)]
    mean_s = mean_bytes(flow_sizes("hadoop")) / 1e6
    assert statistics.mean(gaps) == pytest.approx(mean_s, rel=5 / FLOWS**0.5)
    assert statistics.stdev(gaps) == pytest.approx(mean_s, rel=0.05)
    assert sum(gap > mean_s for gap in gaps) / len(gaps) == pytest.approx(0.3679, abs=0.02)


def test_the_bytes_that_are_offered_are_those_of_the_rate() -> None:
    found = arrivals("hadoop", 100_000)
    offered = sum(each.size_bytes for each in found)
    assert offered / found[-1].at_s == pytest.approx(1e6, rel=0.05)


def test_the_same_seed_gives_the_same_flows_and_another_gives_others() -> None:
    assert arrivals("hadoop", 10) == arrivals("hadoop", 10)
    assert arrivals("hadoop", 10) != arrivals("hadoop", 10, seed="2")


def test_flows_go_to_all_peers_alike() -> None:
    found = arrivals("hadoop", peers=4)
    shares = [sum(each.peer == peer for each in found) / len(found) for peer in range(4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.02)


def test_when_flows_arrive_does_not_depend_on_when_one_looks() -> None:
    asked = source("poisson", sizes=flow_sizes("hadoop"))
    often, seldom = Poisson(asked), Poisson(asked)
    looked = [each for tenth in range(1, 101) for each in often.take(tenth / 10)]
    assert looked == list(seldom.take(10.0))


def offered(paced: Paced, until_s: float) -> list[tuple[float, int]]:
    """The times at which it wakes up, and the bytes that are then due."""
    found, now = [], paced.next_s
    while now < until_s:
        found.append((now, paced.due(now)))
        paced.rest(now)
        assert paced.next_s > now
        now = paced.next_s
    return found


def test_a_constant_source_is_due_evenly_and_divided_among_its_peers() -> None:
    assert Paced(source("constant")).due(2.0) == 2_000_000
    paced = Paced(source("constant", peers=("a", "b")))
    assert paced.due(2.0) == 1_000_000
    steps = [b[1] - a[1] for a, b in pairwise(offered(paced, 2.0))]
    assert set(steps) <= {5999, 6000, 6001}


@pytest.mark.parametrize(("rate_bps", "gap_s"), [(8e3, 0.05), (1e9, 0.001)])
def test_a_source_wakes_up_neither_too_often_nor_too_seldom(rate_bps: float, gap_s: float) -> None:
    times = [at for at, _ in offered(Paced(source("constant", rate_bps=rate_bps)), 1.0)]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([gap_s] * (len(times) - 1))


def test_an_on_off_source_sends_at_its_rate_while_it_is_on_and_not_else() -> None:
    paced = Paced(source("on-off", rate_bps=80e6, on_s=0.01, off_s=0.04))
    first = paced.next_s
    assert 0 <= first < 0.05
    assert paced.due(first) == 0
    for turn in range(3):
        begins = first + turn * 0.05
        assert paced.due(begins + 0.005) == pytest.approx(100_000 * turn + 50_000, abs=2)
        assert paced.due(begins + 0.01) == pytest.approx(100_000 * (turn + 1), abs=2)
        assert paced.due(begins + 0.049) == pytest.approx(100_000 * (turn + 1), abs=2)
    woken = offered(paced, first + 1.0)
    assert woken[-1][1] == pytest.approx(20 * 100_000, rel=0.06)
    within = [(at - first) % 0.05 for at, _ in woken]
    assert all(at < 0.0111 or at > 0.0499 for at in within), "it sleeps while it is off"


def test_on_off_sources_are_not_in_step() -> None:
    one = source("on-off", on_s=0.01, off_s=0.04)
    assert Paced(one).next_s != Paced(msgspec.structs.replace(one, seed="2")).next_s
