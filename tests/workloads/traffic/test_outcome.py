"""What was offered and delivered, put together of what hosts report."""

from __future__ import annotations

import random

import msgspec
import pytest

from workloads.traffic import frames
from workloads.traffic.frames import HEADER_BYTES, Header
from workloads.traffic.outcome import Entry, Outcome, outcome
from workloads.traffic.tally import Report, Tally, Times, merged, size_class

ADDRESSES = {"10.0.0.1": "h1", "10.0.0.2": "h2", "10.0.0.3": "h3"}
ENTRIES = [Entry("poisson:load=0.3", "poisson"), Entry("constant:rate=1Mbit", "constant")]


def made() -> Outcome:
    """h1 sends two small flows and a large one to h2, of which the small ones arrive; h3 a constant rate."""
    tallies = {host: Tally() for host in ("h1", "h2", "h3")}
    for size in (1000, 3000, 20_000_000):
        counts = tallies["h1"].offered(0, "10.0.0.2", size)
        counts.flows, counts.bytes = counts.flows + 1, counts.bytes + size
    for size, time_s in ((1000, 0.01), (3000, 0.03)):
        got = tallies["h2"].delivered(0, "10.0.0.1", size)
        got.bytes += size
        got.times.add(time_s)
    tallies["h2"].delivered(0, "10.0.0.1", 20_000_000).bytes += 500
    tallies["h3"].offered(1, "10.0.0.1", 0).bytes = 700
    tallies["h3"].offered(1, "10.0.0.1", 0).failed = 1
    tallies["h1"].delivered(1, "10.0.0.3", 0).bytes = 600
    tallies["h1"].delivered(7, "192.168.0.9", 5).bytes = 9  # a user's
    tallies["h1"].delivered(7, "10.0.0.3", 5).bytes = 9
    through = msgspec.json.encode({host: tally.report(2.0) for host, tally in tallies.items()})
    return outcome(ENTRIES, ADDRESSES, msgspec.json.decode(through, type=dict[str, Report]))


def test_a_row_is_a_pair_and_a_class_of_sizes() -> None:
    rows = [
        (each.kind, each.source, each.destination, each.sizes, each.flows, each.completed,
         each.offered_bytes, each.delivered_bytes)
        for each in made().rows
    ]  # fmt: skip
    assert rows == [
        ("poisson", "h1", "h2", "large", 1, 0, 20_000_000, 500),
        ("poisson", "h1", "h2", "small", 2, 2, 4000, 4000),
        ("constant", "h3", "h1", "endless", 0, 0, 700, 600),
    ]


def test_an_entry_is_the_sum_of_its_rows() -> None:
    poisson, constant = made().records
    assert (poisson.traffic, poisson.flows, poisson.completed) == ("poisson:load=0.3", 3, 2)
    assert (poisson.offered_bytes, poisson.delivered_bytes) == (20_004_000, 4500)
    assert poisson.seconds == 2.0
    assert (poisson.fct_p50_s, poisson.fct_p99_s) == pytest.approx((0.01, 0.03), rel=0.011)
    assert (constant.failed, constant.completed, constant.fct_p50_s) == (1, 0, None)


def test_percentiles_are_within_a_hundredth_whatever_was_merged() -> None:
    chance = random.Random(1)
    times = [chance.lognormvariate(-6, 2) for _ in range(5001)]
    parts = [Times() for _ in range(3)]
    for number, each in enumerate(times):
        parts[number % 3].add(each)
    total = merged(parts)
    assert total.count == len(times)
    for share in (0.5, 0.95, 0.99, 1.0):
        exact = sorted(times)[max(0, -(-round(share * 5001 * 1000) // 1000) - 1)]
        assert total.percentile(share) == pytest.approx(exact, rel=0.0101)
    assert Times().percentile(0.5) is None


def test_classes_of_sizes() -> None:
    assert [size_class(size) for size in (0, 1, 100_000, 100_001, 10_000_000, 10_000_001)] == [
        "endless", "small", "small", "medium", "medium", "large",
    ]  # fmt: skip


def test_a_header_is_read_as_it_was_written() -> None:
    header = Header(7, 1 << 40, 1234.5)
    assert len(frames.emit(header)) == HEADER_BYTES == 20
    assert frames.parse(frames.emit(header) + b"more") == header
