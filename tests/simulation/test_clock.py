from __future__ import annotations

from nodes.simulation.clock import NS_PER_S, Clock, ns


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
    clock.at(clock.now_ns + 5, lambda: seen.append("cancelled")).cancel()
    assert not clock.step()
    assert (seen, clock.now_ns, clock.events) == ([], NS_PER_S, 0)


def test_a_timer_is_never_early() -> None:
    assert [ns(x) for x in (0.0, 1e-9, 1.0000000001, 0.1)] == [0, 1, 1_000_000_001, 100_000_000]
