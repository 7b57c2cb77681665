"""What `doctor --capacity` concludes from what a packet costs."""

from __future__ import annotations

import pytest

from commands.doctor import capacity_text
from topologies.mininet.capacity import (
    AWAKE_CORES,
    BATCHED_FACTOR,
    PACKET_BYTES,
    SHARE,
    WOKEN_FACTOR,
    BareLoop,
    carried,
)

LOOP = BareLoop(send_s=8e-6, receive_s=4e-6)


def cores_of(rate_bps: float) -> float:
    """What a host takes at that rate, by the two costs that are assumed."""
    bare = rate_bps / LOOP.bits_per_core_s
    return min(WOKEN_FACTOR * bare, AWAKE_CORES + BATCHED_FACTOR * bare)


def test_a_core_carries_a_super_packet_in_its_time() -> None:
    assert LOOP.bits_per_core_s == pytest.approx(8 * PACKET_BYTES / 12e-6)


@pytest.mark.parametrize("cores", [1, 2, 8, 64])
def test_hosts_share_the_cores_and_none_takes_more_than_two_processes_can(cores: int) -> None:
    for each in carried(LOOP, cores):
        taken = cores_of(each.rate_bps)
        assert taken == pytest.approx(min(SHARE * cores / each.hosts, 2 * SHARE))


def test_more_hosts_have_a_lower_rate_and_more_cores_a_higher_one() -> None:
    two, eight = (list(carried(LOOP, cores)) for cores in (2, 8))
    rates = [each.rate_bps for each in two]
    assert rates == sorted(rates, reverse=True)
    assert len({*rates}) == len(rates)
    assert all(more.rate_bps > less.rate_bps for more, less in zip(eight, two, strict=True))


def test_the_table_is_short_and_says_what_it_assumes() -> None:
    lines = capacity_text(LOOP, 2).splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["2", "4", "8", "16", "32", "64"]
    assert max(map(len, lines)) <= 100
    assert "# Measured: 65226 bytes through packet sockets, 8.0 us of CPU time to send and" in lines
    assert any(line.startswith("# Assumed: ") for line in lines)
