"""The model that judges schedules finds what is wrong with bad ones."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.workloads.schedule_model import Deadlock, Incomplete, Memory, Model
from workloads.schedules.schedule import Action, Average, Chunk, Copy, Receive, Send

LEFT, RIGHT = Chunk(0, 4), Chunk(4, 4)


def run(*plans: list[Action]) -> list[Memory]:
    memory = [[Counter({(rank, index): 1}) for index in range(2)] for rank in range(len(plans))]
    return Model(plans, memory, 4).run()  # type: ignore[arg-type]


def test_an_exchange_of_two_ranks_ends_and_swaps() -> None:
    plans: list[list[Action]] = [
        [Send("", 1 - rank, LEFT), Receive("", 1 - rank, RIGHT)] for rank in range(2)
    ]
    found = run(*plans)
    assert found == [[{(0, 0): 1}, {(1, 0): 1}], [{(1, 0): 1}, {(0, 0): 1}]]


def test_a_receive_with_an_operand_sums_up_what_is_there() -> None:
    found = run([Send("", 1, LEFT)], [Receive("", 0, RIGHT, operand=0)])
    assert found[1] == [{(1, 0): 1}, {(0, 0): 1, (1, 0): 1}]


def test_copies_and_averages_are_done_on_the_spot() -> None:
    assert run([Copy("", 4, LEFT), Average("", LEFT)]) == [[{(0, 1): 1, ("average", 1): 1}, {(0, 1): 1}]]


def test_ranks_that_both_receive_before_they_send_are_a_deadlock() -> None:
    plans: list[list[Action]] = [[Receive("", 1 - rank, LEFT), Send("", 1 - rank, LEFT)] for rank in range(2)]
    sentence = "rank 0 in action 0 waits for rank 1; rank 1 in action 0 waits for rank 0"
    with pytest.raises(Deadlock, match=sentence):
        run(*plans)


def test_waiting_for_a_send_that_its_peer_receives_later_is_a_deadlock() -> None:
    plans: list[list[Action]] = [[Send("", 1 - rank, LEFT), Receive("", 1 - rank, LEFT)] for rank in range(2)]
    with pytest.raises(Deadlock, match="rank 0 in action 1 waits for its send of action 0"):
        run(*plans)


def test_a_send_that_no_rank_receives_is_incomplete() -> None:
    with pytest.raises(Incomplete, match="sent and never received: 0 to 1"):
        run([Send("", 1, LEFT)], [])


def test_a_receive_that_no_rank_sends_is_a_deadlock() -> None:
    with pytest.raises(Deadlock, match="rank 1 in action 0 waits for rank 0"):
        run([], [Receive("", 0, LEFT)])


def test_lengths_that_differ_are_incomplete() -> None:
    with pytest.raises(Incomplete, match="rank 0 sends 4 bytes in action 0, rank 1 expects 8"):
        run([Send("", 1, LEFT)], [Receive("", 0, Chunk(0, 8))])
