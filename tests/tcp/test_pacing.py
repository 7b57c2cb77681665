"""SO_MAX_PACING_RATE: segments leave evenly; without a limit they leave as before."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from nodes.tcp.pacing import UNLIMITED, Pacer
from tests.tcp.two_ends import CONFIG, Impairment, Ledger, TwoEnds, pattern

MIB = 1 << 20


def timeline(ends: TwoEnds) -> list[tuple[float, int]]:
    """(time, payload bytes) of everything that a sent."""
    return [(at, length) for at, who, _, length in ends.log if who == "a" and length]


@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("rate", [300_000, 2_000_000, 40_000_000])
def test_a_paced_flow_on_a_fast_link_never_exceeds_its_rate(ledger: Ledger, rate: int, loss: float) -> None:
    wire = Impairment(loss=loss, cut=True, seed=rate)
    ends = TwoEnds(ledger, wire, replace(CONFIG, max_pacing_rate=rate)).open()
    ends.a.pending = data = pattern(MIB)
    ends.run(60, until_read=len(data))
    assert bytes(ends.server.read) == data
    sent = timeline(ends)
    burst = max(length for _, length in sent)
    assert burst <= max(2 * 1460, rate >> 10)
    begun, unpaced = sent[0][0], 10 * 1460
    total = 0
    for at, length in sent:  # at any time no more has left than the rate allows, and a burst
        total += length
        assert total <= unpaced + 2 * burst + rate * (at - begun)
    if not loss:
        assert ends.now - begun < (MIB / rate) * 1.1 + 0.1, "the rate is used"
    ends.stop()


def test_a_limit_set_on_a_running_connection_holds_from_then_on(ledger: Ledger) -> None:
    ends = TwoEnds(ledger).open()
    ends.a.pending = pattern(4 * MIB)
    ends.run(0.05, until_read=MIB)
    ends.a.connection.sockopt.set_max_pacing_rate(1_000_000)
    limited_at = ends.now
    ends.run(1.0)
    later = sum(length for at, length in timeline(ends) if at > limited_at)
    assert 900_000 < later < 1_100_000
    ends.a.connection.sockopt.set_max_pacing_rate(UNLIMITED)
    ends.run(5.0, until_read=4 * MIB)
    assert bytes(ends.server.read) == pattern(4 * MIB)
    ends.stop()


def test_the_pacer_sets_no_timer_when_nothing_is_queued(ledger: Ledger) -> None:
    ends = TwoEnds(ledger, config_a=replace(CONFIG, max_pacing_rate=100_000)).open()
    ends.a.pending = pattern(50_000)
    ends.run(5, until_read=50_000)
    ends.run(5)
    assert ends.a.connection.next_timeout() is None


@pytest.mark.parametrize(("waiting", "late", "gap"), [
    (True, 0.0004, 0.001), (True, 0.007, 0.001), (True, 0.013, 0.004),
    (False, 0.0004, 0.001), (False, 0.0007, 0.0012), (False, 10.0, 10.0005),
])  # fmt: skip
def test_a_segment_that_waited_and_left_late_catches_up(waiting: bool, late: float, gap: float) -> None:
    """After a pause only half an interval is caught up."""
    pacer = Pacer(1_000_000)
    pacer.on_segment_sent(1000, 10.0)
    departures = [pacer.at]
    for _ in range(4):
        pacer.set_waiting(waiting)
        pacer.on_segment_sent(1000, pacer.at + late)
        departures.append(pacer.at)
    gaps = [after - before for before, after in pairwise(departures)]
    assert gaps == pytest.approx([gap] * 4)


@pytest.mark.parametrize("rate", [0, UNLIMITED])
def test_without_a_rate_nothing_is_delayed(rate: int) -> None:
    """As in Linux a rate of 0 is no rate."""
    pacer = Pacer(rate)
    pacer.on_segment_sent(1 << 20, 5.0)
    assert pacer.at < 5.0
