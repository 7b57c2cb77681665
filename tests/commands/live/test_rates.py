"""Differences of two readings, a second."""

from __future__ import annotations

import pytest

from commands.live.rates import HostRates, links_of, run_rates
from tests.commands.live.readings import endpoint, host, run
from topologies.shapes.registry import build

LINKS = {"h1": frozenset({"h1-eth0", "s1-eth1"})}


def test_a_hosts_rates_are_those_of_the_time_between_its_own_readings() -> None:
    """The readers' moments are 1 and 2, the host was read at 1 and at 3."""
    before = run(1.0, host(1.0, endpoint(1000, 0), (0, 500), linux_retransmits=4), cores=(10, 1))
    late = endpoint(
        1000 + 500_000, 1_000_000, retransmits=6, dram_read_bytes=10**9, dram_write_bytes=3 * 10**9,
        cpu_s=1.0, pool_share=0.125, pool_peak_share=0.5,
    )  # fmt: skip
    after = run(2.0, host(3.0, late, (250_000, 500 + 750_000), linux_retransmits=5), cores=(10.75, 1.25))
    found = run_rates(before, after, LINKS)
    assert found.hosts == (
        HostRates(
            "h1", "up", goodput_in_mbps=2.0, goodput_out_mbps=4.0, link_in_mbps=1.0, link_out_mbps=3.0,
            retransmits_per_s=3.0, linux_retransmits_per_s=0.5, drops_per_s=None, pool_percent=12.5,
            pool_peak_percent=50.0, dram_GB_per_s=2.0, cpu_percent=50.0,
        ),
    )  # fmt: skip
    assert (found.interval_s, found.cores) == (1.0, 1)
    assert (found.cpu_percent, found.stolen_percent) == pytest.approx((75.0, 25.0))


def test_what_a_respawned_endpoint_counts_is_no_rate_until_it_was_read_twice() -> None:
    before = run(1.0, host(1.0, endpoint(10**6, retransmits=5), (10, 10)))
    fresh = run(2.0, host(2.0, endpoint(8, cpu_s=0.5), (20, 20)))
    (row,) = run_rates(before, fresh, LINKS).hosts
    assert row.goodput_in_mbps is row.retransmits_per_s is None
    assert row.link_in_mbps == 80e-6
    (row,) = run_rates(fresh, run(3.0, host(3.0, endpoint(8 + 125_000))), LINKS).hosts
    assert row.goodput_in_mbps == 1.0


def test_of_an_endpoint_that_does_not_answer_the_link_is_known() -> None:
    before = run(1.0, host(1.0, endpoint(1), (0, 0)))
    (row,) = run_rates(before, run(2.0, host(2.0, None, (125_000, 0))), LINKS).hosts
    assert (row.state, row.link_in_mbps) == ("silent", 1.0)
    assert row.goodput_in_mbps is row.cpu_percent is row.pool_percent is None


def test_a_host_that_has_just_come_has_a_state_and_no_rates() -> None:
    (row,) = run_rates(run(1.0), run(2.0, host(2.0, endpoint(9, pool_share=0.5))), LINKS).hosts
    assert row == HostRates("h1", "up", pool_percent=50.0, pool_peak_percent=0.0)


def test_queues_at_both_ends_of_a_hosts_link_drop_its_packets() -> None:
    up = host(1.0, endpoint())
    before = run(1.0, up, drops={"h1-eth0": 1, "s1-eth1": 2, "s1-eth9": 0})
    after = run(3.0, up, drops={"h1-eth0": 3, "s1-eth1": 6, "s1-eth9": 10})
    found = run_rates(before, after, LINKS)
    assert (found.hosts[0].drops_per_s, found.other_drops_per_s) == (3.0, 5.0)
    for unknown in (run_rates(run(1.0, up), after, LINKS), run_rates(before, run(3.0, up), LINKS)):
        assert unknown.hosts[0].drops_per_s is unknown.other_drops_per_s is None


def test_a_hosts_links_have_two_ends_each() -> None:
    found = links_of(build("star", 2))
    assert found == {"h1": {"h1-eth0", "s1-eth1"}, "h2": {"h2-eth0", "s1-eth2"}}
