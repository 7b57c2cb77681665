"""Patience is measured by progress: a call is tried again while anything moves in the experiment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import cast

import pytest

from nodes.client.runtime import MACHINE, Runtime
from workloads.progress import Movement, Progress

TIMEOUT_S = 10.0


class Clock:
    """The part of a Runtime that Progress uses, without waiting."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ranks(clock: Clock) -> Iterator[tuple[Progress, Progress]]:
    """Two ranks of one experiment."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(Progress(cast(Runtime, clock), TIMEOUT_S))) for _ in range(2)
        )
        second.adopt(os.dup(first.fd))
        yield first, second


class Slow:
    """A call that answers after `quiet` timeouts, during each of which `meanwhile` happens."""

    def __init__(self, clock: Clock, quiet: int, mover: Progress | None = None) -> None:
        self.clock, self.quiet, self.mover, self.calls = clock, quiet, mover, 0

    def __call__(self, value: int) -> int:
        self.calls += 1
        if self.calls > self.quiet:
            return value
        if self.mover is not None:
            self.clock.now += TIMEOUT_S / 2
            self.mover.moved()
            self.clock.now += TIMEOUT_S / 2
        else:
            self.clock.now += TIMEOUT_S
        raise TimeoutError


def test_a_rank_waits_as_long_as_another_moves(clock: Clock, ranks: tuple[Progress, Progress]) -> None:
    slow = Slow(clock, quiet=50, mover=ranks[1])
    assert ranks[0].wait(slow, 7) == 7
    assert clock.now >= 100.0 + 50 * TIMEOUT_S


def test_a_rank_gives_up_when_nothing_has_moved_for_the_timeout(
    clock: Clock, ranks: tuple[Progress, Progress]
) -> None:
    slow = Slow(clock, quiet=5)
    with pytest.raises(TimeoutError):
        ranks[0].wait(slow, 7)
    assert slow.calls == 1


def test_what_moved_before_the_wait_is_no_progress(clock: Clock, ranks: tuple[Progress, Progress]) -> None:
    """Neither is it held against a wait that begins long afterwards."""
    ranks[1].moved()
    clock.now += 100 * TIMEOUT_S
    assert ranks[0].wait(Slow(clock, quiet=0), 7) == 7
    with pytest.raises(TimeoutError):
        ranks[0].wait(Slow(clock, quiet=1), 7)


def test_success_is_progress_for_the_others(clock: Clock, ranks: tuple[Progress, Progress]) -> None:
    def other_succeeds_then_timeout(value: int, calls: list[int] = []) -> int:  # noqa: B006  counts calls
        calls.append(value)
        if len(calls) == 3:
            return value
        clock.now += TIMEOUT_S
        assert ranks[1].wait(int, 1) == 1
        raise TimeoutError

    assert ranks[0].wait(other_succeeds_then_timeout, 5) == 5


def test_other_errors_are_not_waited_for(ranks: tuple[Progress, Progress]) -> None:
    def reset() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ranks[0].wait(reset)


def test_closing_twice_closes_once() -> None:
    progress = Progress(MACHINE, TIMEOUT_S)
    progress.close()
    taken = os.memfd_create("the next file with that number")
    progress.close()
    os.fstat(taken)
    os.close(taken)


def test_another_record_moves_this_one_only_if_it_knows_more(clock: Clock) -> None:
    with closing(Progress(cast("Runtime", clock), TIMEOUT_S)) as progress:
        progress.moved()
        clock.now += 3
        assert progress.age_s() == 3
        progress.moved_ago(5)
        assert progress.age_s() == 3
        progress.moved_ago(1)
        assert progress.age_s() == 1
        clock.now += 2
        assert progress.age_s() == 3, "what was told grows old, too"


def test_one_that_takes_no_part_sees_when_something_moved_last(
    ranks: tuple[Progress, Progress], clock: Clock
) -> None:
    first, second = ranks
    with Movement(os.getpid(), first.fd) as movement:
        assert movement.last_s() == 0.0
        second.moved()
        assert movement.last_s() == 100.0
        clock.now = 107.5
        first.moved()
        assert movement.last_s() == 107.5


def test_a_rank_that_is_gone_has_no_record() -> None:
    with pytest.raises(FileNotFoundError):
        Movement(os.getpid(), 1 << 20)
