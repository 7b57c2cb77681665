"""cwnd of NewReno and CUBIC, and the retransmission timeout."""

from __future__ import annotations

import pytest

from nodes.tcp.congestion.control import congestion_control
from nodes.tcp.rtt import RttEstimator

MSS = 1000
RTT = 0.1


def rounds(name: str, count: int, start: int = 100) -> list[int]:
    """cwnd in segments after each round trip that follows a loss at `start` segments."""
    control = congestion_control(name, MSS)
    control.cwnd = start * MSS
    control.on_loss(0.0)
    found = []
    for number in range(count):
        for _ in range(10):
            control.on_ack(control.cwnd // 10, number * RTT, True)
        found.append(control.cwnd // MSS)
    return found


@pytest.mark.parametrize(("name", "kept"), [("newreno", 50), ("cubic", 70)])
def test_a_loss_keeps(name: str, kept: int) -> None:
    control = congestion_control(name, MSS)
    control.cwnd = 100 * MSS
    control.on_loss(0.0)
    assert control.cwnd == control.ssthresh == kept * MSS
    control.undo()
    assert control.cwnd == 100 * MSS
    control.on_timeout(0.0)
    assert (control.cwnd, control.ssthresh) == (MSS, kept * MSS)


def test_newreno_grows_a_segment_a_round_trip() -> None:
    found = rounds("newreno", 20)
    assert 17 <= found[-1] - found[0] <= 20


def test_cubic_reaches_the_old_window_after_k_is_flat_there_and_goes_beyond() -> None:
    found = rounds("cubic", 90)
    k = (100 * 0.3 / 0.4) ** (1 / 3)
    assert 97 <= found[int(k / RTT)] <= 103
    assert found[int(k / RTT) + 5] - found[int(k / RTT) - 5] <= 4
    assert found[-1] > 125
    assert found == sorted(found)


def test_cubic_is_hardly_slower_than_reno_at_its_beta() -> None:
    found = rounds("cubic", 20, start=12)
    assert found[-1] - found[0] >= 0.5 * 17


def test_cubic_grows_by_5_percent_a_round_trip_before_the_first_loss() -> None:
    control = congestion_control("cubic", MSS)
    control.cwnd = control.ssthresh = 100 * MSS
    for number in range(100):
        control.on_ack(MSS, 1.0 + number * RTT / 100, True)
    assert control.cwnd == 105 * MSS


def test_a_changed_window_is_looked_at_in_the_next_jiffy_others_in_the_eighth() -> None:
    """Linux at 1 % loss and 1 ms: after a reduction cwnd grows within 4 ms, then waits for 32 ms."""
    control = congestion_control("cubic", MSS)
    control.cwnd = 11 * MSS
    control.on_rtt(0.001, 0, 0, 0.5)
    control.on_loss(1.0)
    found = []
    for number in range(45):  # a round trip a millisecond, a window in each
        control.on_ack(control.cwnd, 1.0 + number * 0.001, True)
        found.append(control.cwnd // MSS)
    assert found[:6] == [8, 9, 10, 11, 11, 11]
    assert found[31] == 11
    assert found[36] > 14  # the Reno estimate went on meanwhile


def test_a_timeout_forgets_the_old_window() -> None:
    control = congestion_control("cubic", MSS)
    control.cwnd = 100 * MSS
    control.on_loss(0.0)
    control.on_timeout(1.0)
    control.cwnd = control.ssthresh = 49 * MSS
    for number in range(49):
        control.on_ack(MSS, 2.0 + number * 1e-3, True)
    assert control.cwnd >= 51 * MSS  # 5 %, as before any loss


@pytest.mark.parametrize("name", ["newreno", "cubic"])
def test_a_window_that_is_not_used_does_not_grow(name: str) -> None:
    control = congestion_control(name, MSS)
    for number in range(50):
        control.on_ack(5 * MSS, number * RTT, False)
    assert control.cwnd == 10 * MSS


def test_cubic_holds_its_curve_still_while_idle() -> None:
    control = congestion_control("cubic", MSS)
    control.cwnd = 100 * MSS
    control.on_loss(0.0)
    control.on_ack(MSS, 0.1, True)
    before = control.cwnd
    control.on_tx_start(999.9, 1000.0)
    control.on_ack(MSS, 1000.1, True)
    assert control.cwnd - before <= MSS


def test_growth_by_bytes_does_not_lose_fractions_of_a_byte() -> None:
    control = congestion_control("cubic", MSS)
    control.cwnd = 5000 * MSS
    control.on_loss(0.0)
    before = control.cwnd
    for number in range(3500):
        control.on_ack(MSS, number * 1e-4, True)
    assert control.cwnd > before


def test_timeout_follows_rfc_6298_with_linuxs_floor() -> None:
    rtt = RttEstimator()
    assert rtt.rto == 1.0
    rtt.sample(0.4)
    assert (rtt.srtt, rtt.rttvar) == (0.4, 0.2)
    assert rtt.rto == pytest.approx(1.2)
    for _ in range(100):
        rtt.sample(0.0001)
    assert rtt.rto == pytest.approx(0.2, abs=0.001)
    min_rtt = rtt.min_rtt
    rtt.sample_ts_ecr(0)  # coarser than the path: no new minimum
    assert rtt.min_rtt == min_rtt
    rtt.backoff = 1
    assert rtt.rto == pytest.approx(0.4, abs=0.001)
    rtt.backoff = 40
    assert rtt.rto == 120.0
