from __future__ import annotations

import random
from functools import partial

import pytest

from nodes.simulation.clock import NS_PER_S, Clock, Event, ns


def test_actions_are_called_by_time_and_then_in_the_order_of_their_making() -> None:
    clock, seen = Clock(), []
    start = clock.now_ns
    for name, after in (("late", 20), ("first", 10), ("second", 10), ("past", -5)):
        clock.at(start + after, lambda name=name: seen.append((name, clock.now_ns - start)))  # type: ignore[misc]
    while clock.step():
        pass
    assert seen == [("past", 0), ("first", 10), ("second", 10), ("late", 20)]


def test_a_cancelled_event_neither_acts_nor_moves_the_time() -> None:
    clock, seen = Clock(), []
    clock.cancel(clock.at(clock.now_ns + 5, lambda: seen.append("cancelled")))
    assert not clock.step()
    assert (seen, clock.now_ns, clock.events) == ([], NS_PER_S, 0)


def test_a_timer_is_never_early() -> None:
    assert [ns(x) for x in (0.0, 1e-9, 1.0000000001, 0.1)] == [0, 1, 1_000_000_001, 100_000_000]


def test_a_timer_that_is_moved_again_and_again_does_not_fill_the_heap() -> None:
    clock, seen = Clock(), list[int]()
    for number in range(2000):
        timer = clock.at(clock.now_ns + 1_000_000 + number, lambda number=number: seen.append(number))  # type: ignore[misc]
        if number % 100:
            clock.cancel(timer)
            clock.cancel(timer)
        clock.at(clock.now_ns + 1, lambda: None)
        clock.step()
    assert clock.kept <= 20
    while clock.step():
        pass
    assert seen == [*range(0, 2000, 100)]


def test_what_is_asked_for_now_comes_behind_what_was_asked_for_earlier() -> None:
    clock, seen = Clock(), list[str]()

    def first() -> None:
        seen.append("first")
        clock.at(clock.now_ns, lambda: seen.append("now"))
        clock.cancel(clock.at(clock.now_ns, lambda: seen.append("void")))

    for action in (first, lambda: seen.append("second")):
        clock.at(clock.now_ns + 5, action)
    while clock.step():
        pass
    assert seen == ["first", "second", "now"]
    assert clock.kept == 0


def test_a_run_ends_with_its_count_and_behind_an_action_that_pauses_it() -> None:
    clock, seen = Clock(), list[int]()

    def act(number: int) -> None:
        seen.append(number)
        clock.paused = number == 2

    for number in range(5):
        clock.at(clock.now_ns + number, partial(act, number))
    assert clock.run(2)
    assert seen == [0, 1]
    assert clock.run(100)
    assert seen == [0, 1, 2]
    assert not clock.run(100)
    assert seen == [0, 1, 2, 3, 4]


def test_an_event_that_is_put_again_comes_behind_those_made_meanwhile() -> None:
    clock, seen = Clock(), list[str]()
    moved = clock.at(NS_PER_S + 9, lambda: seen.append("moved"))
    clock.at(NS_PER_S + 5, lambda: seen.append("made meanwhile"))
    clock.cancel(moved)
    assert not moved.is_due
    moved.at_ns = NS_PER_S + 5
    clock.put(moved)
    assert moved.is_due
    while clock.step():
        pass
    assert seen == ["made meanwhile", "moved"]
    assert not moved.is_due
    clock.put(moved)
    assert clock.step()
    assert seen == ["made meanwhile", "moved", "moved"]


@pytest.mark.parametrize("seed", range(20))
def test_events_come_in_order_whatever_is_put_and_cancelled_meanwhile(seed: int) -> None:
    """What is due is kept beside the clock, as (nanosecond, number of its making)."""
    chance, clock = random.Random(seed), Clock()
    due, happened = dict[int, tuple[int, Event]](), list[int]()
    made = 0

    def act(number: int) -> None:
        happened.append(number)
        del due[number]
        for _ in range(chance.choice((0, 0, 1, 2, 2)) if made < 400 else 0):
            add()
        if due and chance.random() < 0.4:
            clock.cancel(due.pop(chance.choice([*due]))[1])

    def add() -> None:
        nonlocal made
        made += 1
        at_ns = clock.now_ns + chance.choice((-1, 0, 1, 2, 3, 8, 50, 100))
        due[made] = max(at_ns, clock.now_ns), clock.at(at_ns, partial(act, made))

    for _ in range(50):
        add()
    while due:
        first = min(due, key=lambda number: (due[number][0], number))
        assert clock.step()
        assert happened[-1] == first, f"seed {seed}"
    assert not clock.step()
    assert clock.kept == 0
