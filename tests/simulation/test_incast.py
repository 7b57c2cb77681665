"""64 hosts answer one at once: what a shallow queue does without and with ECN."""

from __future__ import annotations

import pytest

from nodes.simulation.output import QueueLimits
from tests.simulation.incast import BLOCK, LINE_BPS, incast

SENDERS = 64
IDEAL_S = SENDERS * BLOCK * 8 * 1538 / 1448 / LINE_BPS
SHALLOW = 512 << 10
MARKS = QueueLimits(SHALLOW, ecn_bytes=64 << 10)
PROBE_S = 0.01  # at most the wait for a tail loss probe, and less than TCP's shortest timer


def test_a_queue_that_holds_all_answers_takes_the_time_of_the_line() -> None:
    found = incast(SENDERS, QueueLimits(SENDERS * BLOCK * 2))
    assert (found.dropped_packets, found.timeouts) == (0, 0)
    assert found.queued_max > SENDERS * BLOCK // 2
    for took_s in found.round_s:
        assert IDEAL_S <= took_s <= 1.05 * IDEAL_S


def test_drop_tail_in_a_shallow_queue_ends_in_timers() -> None:
    """Of a connection that loses the end of its answer nothing comes back: only a timer helps, the tail loss
    probe or the retransmission timer."""
    found = incast(SENDERS, QueueLimits(SHALLOW))
    assert found.queued_max <= SHALLOW
    assert found.dropped_packets > 0
    assert max(found.round_s) > PROBE_S


@pytest.mark.parametrize("congestion", ["", "dctcp"])
def test_marks_in_the_same_queue_keep_the_second_round_from_timeouts(congestion: str) -> None:
    found = incast(SENDERS, MARKS, ecn=1, congestion=congestion)
    assert found.marked_packets > found.dropped_packets
    assert found.round_s[-1] <= 1.1 * IDEAL_S


def test_connections_that_are_read_at_once_take_the_time_of_the_line() -> None:
    """Payload that is not read narrows the window, and its ACK waits for the reader."""
    in_turn, at_once = (incast(SENDERS, MARKS, 1, "dctcp", each).round_s for each in (False, True))
    assert in_turn[0] > 3 * IDEAL_S
    assert max(at_once) <= 1.1 * IDEAL_S
