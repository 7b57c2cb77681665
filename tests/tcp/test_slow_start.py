"""HyStart (tcp_cubic.c) and DCTCP (RFC 8257): fed with samples, and over a bottleneck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodes.tcp.congestion.cubic import Cubic
from nodes.tcp.congestion.dctcp import Dctcp
from nodes.tcp.congestion.hystart import HyStart
from tests.tcp.two_ends import CONFIG, Impairment, Ledger, TwoEnds, pattern

MSS = 1000


def over(hystart: HyStart, rtts: list[float], gap: float = 0.003, cwnd: int = 100, una: int = 0) -> bool:
    """One round of ACKs `gap` seconds apart, from `una` on; whether slow start ends in it. The shortest round
    trip is 40 ms."""
    found = False
    for number, rtt in enumerate(rtts):
        now = 1.0 + number * gap
        hystart.on_ack(una + number, una + len(rtts), now)
        found |= hystart.is_over(rtt, 0.04, cwnd * MSS, MSS, now)
    return found


def test_slow_start_goes_on_while_round_trips_do_not_grow() -> None:
    hystart = HyStart()
    assert not any(over(hystart, [0.04] * 12, una=13 * rounds) for rounds in range(50))


@pytest.mark.parametrize(("rtt", "ends"), [(0.0449, False), (0.0451, True)])
def test_slow_start_ends_where_every_round_trip_is_an_eighth_longer(rtt: float, ends: bool) -> None:
    assert over(HyStart(), [rtt] * 9) is ends


def test_one_short_round_trip_among_the_first_is_enough_to_go_on() -> None:
    assert not over(HyStart(), [0.08] * 7 + [0.04] + [0.08] * 20)


def test_eight_samples_are_too_few() -> None:
    assert not over(HyStart(), [0.09] * 8)
    assert over(HyStart(), [0.09] * 9)


@pytest.mark.parametrize(("samples", "ends"), [(8, False), (9, True)])
def test_a_round_has_samples_of_its_own(samples: int, ends: bool) -> None:
    hystart = HyStart()
    over(hystart, [0.04] * 12)
    assert over(hystart, [0.09] * samples, una=13) is ends


def test_a_window_of_15_segments_never_ends_slow_start() -> None:
    assert not over(HyStart(), [0.09] * 20, cwnd=15)
    assert over(HyStart(), [0.09] * 20, cwnd=16)


@pytest.mark.parametrize(("acks", "gap", "ends"), [(21, 1e-3, False), (22, 1e-3, True), (40, 2.1e-3, False)])
def test_a_train_of_acks_for_half_a_round_trip_ends_slow_start(acks: int, gap: float, ends: bool) -> None:
    """(40 ms + 1 ms for offloads) / 2 is 20.5 ms; ACKs 2.1 ms apart are no train."""
    assert over(HyStart(), [0.04] * acks, gap, cwnd=100) is ends


def test_bursts_a_short_round_trip_apart_are_no_train() -> None:
    """The ACK of all that is in flight ends a burst; the next one is 1.2 ms later."""
    hystart, una = HyStart(), 0
    for burst in range(20):
        for number in range(20):
            una, now = una + 1, 1.0 + burst * 0.0012 + number * 1e-6
            hystart.on_ack(una, 20 * (burst + 1) + number, now)
            assert not hystart.is_over(0.0012, 0.0012, 100 * MSS, MSS, now)


def test_cubic_leaves_slow_start_where_hystart_ends() -> None:
    cubic = Cubic(MSS, 20 * MSS)
    cubic.on_rtt(0.05, 1, 20, 1.0)
    for number in range(10):
        cubic.on_rtt(0.06, 21 + number, 40, 1.1 + number * 0.003)
    assert cubic.ssthresh == cubic.cwnd == 20 * MSS


def test_after_a_timeout_hystart_watches_again() -> None:
    cubic = Cubic(MSS, 40 * MSS)

    def grow(now: float) -> None:
        una = round(now * 100)
        cubic.on_rtt(0.05, una, una, now - 0.1)
        for number in range(12):
            cubic.on_rtt(0.09, una + 1 + number, una + 20, now + number * 0.003)

    grow(1.0)
    assert cubic.ssthresh == 40 * MSS
    cubic.on_timeout(2.0)
    cubic.cwnd, cubic.ssthresh = 20 * MSS, 30 * MSS
    grow(3.0)
    assert cubic.ssthresh == 20 * MSS


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
    assert control.alpha == 1024
    for _ in range(200):
        control.on_ece_acked(10 * MSS)
        control.on_round(100 * MSS, 0.0)
    assert 96 <= control.alpha <= 111  # of 1024: what adds 6 a round, and loses a 16th, in whole numbers
    control.on_ecn(0.0)
    assert control.cwnd == 95 * MSS
    control.on_loss(0.0)
    assert control.cwnd == 95 * MSS // 2
    for _ in range(50):
        control.on_round(100 * MSS, 0.0)
    assert control.alpha == 0


@pytest.mark.parametrize(
    ("segments", "alpha", "left"), [(3, 682, 3), (3, 683, 2), (70, 29, 70), (2, 1024, 2)]
)
def test_marks_take_whole_segments_of_a_window(segments: int, alpha: int, left: int) -> None:
    """A share of less than a segment is none (dctcp_ssthresh), of which small windows gain most."""
    control = Dctcp(MSS, segments * MSS)
    control.alpha = alpha
    control.on_ecn(0.0)
    assert (control.cwnd, control.ssthresh) == (left * MSS, left * MSS)
