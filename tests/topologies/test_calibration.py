"""When a link is what was asked for, and what is said of one that is not."""

from __future__ import annotations

import pytest

from topologies.calibration import LinkCalibration, obstacle


def measured(
    achieved_bps: float,
    achieved_delay_s: float | None = 0.0,
    asked_delay_s: float = 0.0,
    asked_bps: int = 10**9,
) -> LinkCalibration:
    return LinkCalibration("h1-eth0", "s1-eth1", asked_bps, achieved_bps, asked_delay_s, achieved_delay_s)


@pytest.mark.parametrize(
    ("found", "faithful"),
    [
        (measured(0.96e9), True),
        (measured(1.04e9), True),
        (measured(0.94e9), False),
        (measured(1.06e9), False),
        (measured(1e9, 0.00019), True),
        (measured(1e9, 0.00021), False),
        (measured(1e9, 0.0104, 0.010), True),
        (measured(1e9, 0.0106, 0.010), False),
        (measured(1e9, None), False),
        (measured(0.0, 0.010, 0.010, asked_bps=0), True),
    ],
)
def test_a_link_may_be_5_percent_off_or_a_fifth_of_a_millisecond(
    found: LinkCalibration, faithful: bool
) -> None:
    assert found.is_faithful is faithful
    assert (obstacle([found]) is None) is faithful


def test_the_sentence_names_the_worst_link_and_how_many_more() -> None:
    said = obstacle([measured(1e9), measured(0.9e9), measured(0.4e9)])
    assert said == (
        "links are further off than 5% from what was asked (h1-eth0 to s1-eth1: 400 of 1000 Mbit/s, 0 of 0 "
        "ms and 1 more); ask for less, run it on a quieter machine, or accept it with --allow-uncalibrated"
    )
    assert "h1-eth0 to s1-eth1: nothing arrived" in str(obstacle([measured(1e9, None)]))
