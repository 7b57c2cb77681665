"""HyStart++ (RFC 9406) and DCTCP (RFC 8257): fed with samples, and over a bottleneck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.tcp.congestion.cubic import Cubic
from nodes.tcp.congestion.dctcp import Dctcp
from nodes.tcp.congestion.hystart import HyStart
from nodes.tcp.congestion.newreno import UNLIMITED
from tests.tcp.two_ends import CONFIG, Impairment, Ledger, TwoEnds, pattern

MSS = 1000


def feed(hystart: HyStart, rtt: float, samples: int = 8) -> bool:
    """One round of samples; returns whether slow start ends with it."""
    for _ in range(samples):
        hystart.on_rtt_sample(rtt)
    return hystart.on_round_end()


def test_slow_start_goes_on_while_round_trips_do_not_grow() -> None:
    hystart = HyStart()
    assert not any(feed(hystart, 0.05) for _ in range(50))
    assert hystart.growth(8000) == 8000


def test_growing_round_trips_quarter_the_growth_and_end_it_5_rounds_later() -> None:
    hystart = HyStart()
    feed(hystart, 0.050)
    ends = [feed(hystart, 0.057)]  # 50 / 8 is 6.25 ms
    assert hystart.growth(8000) == 2000
    ends += [feed(hystart, 0.057) for _ in range(4)]
    assert ends == [False, False, False, False, True]


def test_a_round_trip_that_shrinks_again_was_jitter() -> None:
    hystart = HyStart()
    feed(hystart, 0.050)
    feed(hystart, 0.057)
    feed(hystart, 0.051)
    assert hystart.growth(8000) == 8000


@pytest.mark.parametrize(("before", "after", "slows"), [(0.001, 0.0045, False), (0.001, 0.0055, True)])
def test_growth_of_less_than_4_ms_does_not_count(before: float, after: float, slows: bool) -> None:
    hystart = HyStart()
    feed(hystart, before)
    feed(hystart, after)
    assert (hystart.growth(8000) == 2000) is slows


def test_seven_samples_are_too_few() -> None:
    hystart = HyStart()
    feed(hystart, 0.05)
    feed(hystart, 0.09, samples=7)
    assert hystart.growth(8000) == 8000


def test_cubic_leaves_slow_start_where_hystart_ends() -> None:
    cubic = Cubic(MSS, 10 * MSS)
    for rtt in (0.05, *[0.06] * 5):
        for _ in range(8):
            cubic.on_rtt(rtt)
        cubic.on_ack(MSS, 1.0, 0.05, True)
        cubic.on_round(1.0)
    assert cubic.ssthresh == cubic.cwnd < UNLIMITED


def test_a_deep_queue_is_left_before_it_overflows(ledger: Ledger) -> None:
    wire = Impairment(rate=12.5e6, queue_bytes=4_000_000, delay_s=0.02, cut=True)
    config = replace(CONFIG, send_buffer_bytes=8 << 20, receive_buffer_bytes=16 << 20)
    ends = TwoEnds(ledger, wire, config, config).open()
    ends.a.pending = pattern(16_000_000)
    ends.run(20.0, until_read=16_000_000)
    ends.stop()
    info = ends.a.connection.info()
    assert info.total_retrans == 0
    assert info.snd_ssthresh < 4_500_000 // 1448


def test_alpha_follows_the_share_of_marked_bytes() -> None:
    control = Dctcp(MSS, 100 * MSS)
    assert control.alpha == 1.0
    for _ in range(200):
        control.on_ece_acked(10 * MSS)
        control.on_ack(100 * MSS, 0.0, 0.001, False)
        control.on_round(0.0)
    assert control.alpha == pytest.approx(0.1, abs=0.001)
    before = control.cwnd
    control.on_ecn(0.0)
    assert control.cwnd == pytest.approx(before * 0.95, rel=0.001)
    control.on_loss(0.0)
    assert control.cwnd == pytest.approx(before * 0.95 / 2, rel=0.001)
