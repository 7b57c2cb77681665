"""Deadlines of many items: what comes up when, and what the heap costs."""

from __future__ import annotations

import heapq
import random
import weakref
from collections.abc import Callable

import pytest

from nodes.timer_heap import TimerHeap


def due(timers: TimerHeap[str], now: float) -> list[str]:
    found = []
    while (item := timers.pop_due(now)) is not None:
        found.append(item)
    return found


@pytest.fixture
def timers() -> TimerHeap[str]:
    return TimerHeap()


@pytest.fixture
def heap_operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of heapq's functions, as they are called."""
    called: list[str] = []

    def counting(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            called.append(name)
            return function(*args)

        return call

    for name in ("heappush", "heappop", "heapify", "heapreplace"):
        monkeypatch.setattr(heapq, name, counting(name, getattr(heapq, name)))
    return called


def test_items_come_up_in_the_order_of_their_deadlines_and_once(timers: TimerHeap[str]) -> None:
    for item, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        timers.schedule(item, at)
    assert timers.next_timeout() == 1.0
    assert timers.first() == "a"
    assert due(timers, 0.9) == []
    assert due(timers, 2.0) == ["a", "b"]
    assert due(timers, 2.0) == []
    assert (timers.next_timeout(), len(timers)) == (3.0, 1)


def test_an_empty_heap_has_no_timeout_and_no_first_item(timers: TimerHeap[str]) -> None:
    assert (timers.next_timeout(), timers.first(), timers.pop_due(1e9), len(timers)) == (None, None, None, 0)


def test_items_of_one_deadline_come_up_as_they_were_scheduled(timers: TimerHeap[str]) -> None:
    for item in "cab":
        timers.schedule(item, 1.0)
    assert due(timers, 1.0) == ["c", "a", "b"]


def test_an_entry_that_fires_early_is_put_back(timers: TimerHeap[str]) -> None:
    timers.schedule("a", 1.0)
    timers.schedule("a", 5.0)
    assert timers.next_timeout() == 1.0  # no later than the deadline
    assert due(timers, 1.0) == []
    assert timers.next_timeout() == 5.0
    assert due(timers, 4.9) == []
    assert due(timers, 5.0) == ["a"]


def test_an_earlier_deadline_counts_at_once(timers: TimerHeap[str]) -> None:
    timers.schedule("a", 5.0)
    timers.schedule("a", 1.0)
    assert due(timers, 1.0) == ["a"]
    assert (due(timers, 9.0), timers.next_timeout()) == ([], None)


def test_a_deadline_that_goes_takes_its_item_along_when_the_entry_fires(timers: TimerHeap[str]) -> None:
    timers.schedule("a", 1.0)
    timers.schedule("a", None)
    assert len(timers) == 1
    assert due(timers, 1.0) == []
    assert (len(timers), timers.next_timeout()) == (0, None)
    timers.schedule("b", None)
    assert len(timers) == 0


def test_a_cancelled_item_never_comes_up_and_may_come_back(timers: TimerHeap[str]) -> None:
    for item, at in (("a", 1.0), ("b", 2.0)):
        timers.schedule(item, at)
    timers.cancel("a")
    timers.cancel("a")
    assert timers.next_timeout() == 2.0
    timers.schedule("a", 3.0)
    assert due(timers, 9.0) == ["b", "a"]


def test_items_may_be_cancelled_and_scheduled_between_those_that_are_due(timers: TimerHeap[str]) -> None:
    for item in "abc":
        timers.schedule(item, 1.0)
    assert timers.pop_due(1.0) == "a"
    timers.cancel("b")
    timers.schedule("a", 2.0)
    timers.schedule("d", 0.5)
    assert due(timers, 1.0) == ["d", "c"]
    assert timers.next_timeout() == 2.0


def test_moving_a_deadline_later_costs_no_heap_operation(
    timers: TimerHeap[str], heap_operations: list[str]
) -> None:
    timers.schedule("a", 1.0)
    assert heap_operations == ["heappush"]
    for later in range(2, 1000):
        timers.schedule("a", float(later))
        timers.schedule("a", None)
    assert heap_operations == ["heappush"]


def test_void_entries_never_outnumber_items_by_more_than_64() -> None:
    timers: TimerHeap[int] = TimerHeap()
    timers.schedule(-1, 0.0)  # keeps the void entries behind it from coming up
    for count in (10, 100):
        for item in range(count):
            timers.schedule(item, 1e6)
        for at in range(5000, 0, -1):
            timers.schedule(0, float(at))
            assert len(timers._heap) <= 2 * len(timers) + 64
    for item in range(100):
        timers.cancel(item)
        timers.schedule(item, 1e6)
        assert len(timers._heap) <= 2 * len(timers) + 64
    assert len(timers) == 101


def test_a_void_entry_keeps_no_item_alive() -> None:
    class Item:
        pass

    timers: TimerHeap[Item] = TimerHeap()
    timers.schedule(Item(), 5.0)  # so that the void entries behind it stay
    cancelled, fired = Item(), Item()
    gone = weakref.ref(cancelled), weakref.ref(fired)
    timers.schedule(cancelled, 9.0)
    timers.schedule(fired, 9.0)
    timers.schedule(fired, 1.0)
    timers.cancel(cancelled)
    while timers.pop_due(1.0) is not None:
        pass
    assert (len(timers), len(timers._heap)) == (1, 3)
    del cancelled, fired
    assert [each() for each in gone] == [None, None]


def test_it_agrees_with_a_plain_table_of_deadlines(soak: bool) -> None:
    seed = random.randrange(1 << 32) if soak else 5
    print(f"seed {seed}")
    chance = random.Random(seed)
    timers: TimerHeap[int] = TimerHeap()
    deadlines: dict[int, float] = {}
    now = 0.0
    for _ in range(20_000):
        item, what = chance.randrange(30), chance.random()
        if what < 0.6:
            deadlines[item] = now + chance.randrange(50)
            timers.schedule(item, deadlines[item])
        elif what < 0.7:
            deadlines.pop(item, None)
            timers.schedule(item, None)
        elif what < 0.8:
            deadlines.pop(item, None)
            timers.cancel(item)
        else:
            now += chance.random()
            expected = {each for each, at in deadlines.items() if at <= now}
            found = []
            while (each := timers.pop_due(now)) is not None:
                found.append(each)
            assert set(found) == expected
            assert len(found) == len(expected)
            for each in found:
                del deadlines[each]
        first = timers.next_timeout()
        assert (first is None) <= (not deadlines)
        assert first is None or first <= min(deadlines.values(), default=first)
