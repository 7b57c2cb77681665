"""When a link that loses packets or has jitter is as it was asked to be."""

from __future__ import annotations

from topologies.calibration import LOSS_PROBES, LinkCalibration, obstacle
from topologies.link import Quality


def link(delay_s: float = 0.005, loss: float | None = None) -> LinkCalibration:
    deviation = Quality(loss=0.1).loss_deviation(LOSS_PROBES)
    return LinkCalibration("a", "b", 0, 0.0, 0.005, delay_s, 0.001, 0.1, loss, deviation)


def test_the_least_delay_of_a_link_with_jitter_may_be_as_much_less() -> None:
    assert link(0.0040).is_faithful
    assert link(0.0062).is_faithful
    assert not link(0.0035).is_faithful
    assert not link(0.0064).is_faithful


def test_a_loss_is_within_the_binomial_interval_or_refused() -> None:
    assert link(loss=0.07).is_faithful
    assert link(loss=0.13).is_faithful
    assert not link(loss=0.05).is_faithful
    off = obstacle([link(loss=0.15)])
    assert off is not None
    assert "(a to b: 5 of 5 ms, 0.15 of 0.1 lost)" in off
