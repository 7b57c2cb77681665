"""The model that judges schedules finds what is wrong with bad ones."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.workloads.schedule_model import Deadlock, Incomplete, Memory, Model
from workloads.schedules import Chunk, Receive, Send, Step

LEFT, RIGHT = Chunk(0, 4), Chunk(4, 4)


def run(*plans: list[Step]) -> list[Memory]:
    return Model(plans, 2, 4).run()


def test_an_exchange_of_two_ranks_ends_and_swaps() -> None:
    plans = [[Step("swap", Send(1 - rank, LEFT), Receive(1 - rank, RIGHT))] for rank in range(2)]
    assert run(*plans) == [[Counter({0: 1}), Counter({1: 1})], [Counter({1: 1}), Counter({0: 1})]]


def test_steps_that_only_send_or_only_receive_are_steps() -> None:
    found = run([Step("send", Send(1, LEFT))], [Step("receive", None, Receive(0, LEFT, reduces=True))])
    assert found[1] == [Counter({0: 1, 1: 1}), Counter({1: 1})]


def test_ranks_that_both_receive_before_they_send_are_a_deadlock() -> None:
    plans = [
        [Step("first", None, Receive(1 - rank, LEFT)), Step("then", Send(1 - rank, LEFT))]
        for rank in range(2)
    ]
    sentence = "rank 0 in step 0 waits for rank 1; rank 1 in step 0 waits for rank 0"
    with pytest.raises(Deadlock, match=sentence):
        run(*plans)


def test_waiting_for_a_send_that_its_peer_receives_later_is_a_deadlock() -> None:
    plans = [
        [Step("swap", Send(1 - rank, LEFT), Receive(1 - rank, LEFT), overwrites=(0,))] for rank in range(2)
    ]
    with pytest.raises(Deadlock, match="rank 0 in step 0 waits for its send of step 0"):
        run(*plans)


def test_a_send_that_no_rank_receives_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="sent and never received: 0 to 1"):
        run([Step("send", Send(1, LEFT))], [])


def test_a_receive_that_no_rank_sends_is_a_deadlock() -> None:
    with pytest.raises(Deadlock, match="rank 1 in step 0 waits for rank 0"):
        run([], [Step("receive", None, Receive(0, LEFT))])


def test_lengths_that_differ_are_incomplete() -> None:
    with pytest.raises(Incomplete, match="rank 0 sends 4 bytes in step 0, rank 1 expects 8"):
        run([Step("send", Send(1, LEFT))], [Step("receive", None, Receive(0, Chunk(0, 8)))])


def test_bytes_overwritten_before_they_have_left_arrive_wrong() -> None:
    """Rank 0 sends its element to rank 2, and replaces it by rank 1's without waiting."""
    plans = [
        [Step("send", Send(2, LEFT)), Step("replace", None, Receive(1, LEFT))],
        [Step("send", Send(0, LEFT)), Step("go on", Send(2, RIGHT))],
        [Step("late", None, Receive(1, RIGHT)), Step("receive", None, Receive(0, LEFT))],
    ]
    assert run(*plans)[2][0] == Counter({1: 1}), "not rank 0's"
