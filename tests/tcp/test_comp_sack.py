"""How long the ACKs of segments beyond a hole wait, and how many (__tcp_ack_snd_check)."""

from __future__ import annotations

from math import inf

import pytest

from nodes.tcp.comp_sack import COMP_SACK_NR, CompressedAck
from nodes.tcp.receive_buffer import ReceiveBuffer
from nodes.tcp.rtt import RttEstimator


def compressed(receiver_rtt_s: float, srtt: float) -> CompressedAck:
    buffer, rtt = ReceiveBuffer(1 << 20), RttEstimator()
    buffer.rtt_s = receiver_rtt_s
    rtt.sample(srtt)
    ack = CompressedAck(buffer)
    ack.rtt = rtt
    return ack


@pytest.mark.parametrize(
    ("receiver_rtt_s", "srtt", "delay"),
    [(0.004, 0.01, 0.0002), (0.01, 0.004, 0.0002), (0.1, 0.1, 0.001), (0.0, 0.1, 0.0)],
)
def test_the_wait_is_a_part_of_the_shorter_round_trip_and_a_millisecond_at_most(
    receiver_rtt_s: float, srtt: float, delay: float
) -> None:
    ack = compressed(receiver_rtt_s, srtt)
    assert [ack.defers(1, 5.0) for _ in range(4)] == [False, False, False, True]
    assert ack.at == pytest.approx(5.0 + delay)
    assert ack.defers(1, 5.0 + delay / 2)
    assert ack.at == pytest.approx(5.0 + delay)  # the first one's deadline


def test_one_ack_stands_for_44_and_no_more() -> None:
    ack = compressed(0.1, 0.1)
    answers = [ack.defers(1, 5.0) for _ in range(3 + COMP_SACK_NR + 1)]
    assert answers == [False] * 3 + [True] * COMP_SACK_NR + [False]
    assert (ack.take(), ack.waiting, ack.at) == (COMP_SACK_NR, 0, inf)


def test_without_sack_no_ack_waits() -> None:
    ack = CompressedAck(ReceiveBuffer(1 << 20))
    assert not any(ack.defers(1, 5.0) for _ in range(100))
