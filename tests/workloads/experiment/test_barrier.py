"""No rank leaves a barrier before all have come; what happens when one does not come."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from workloads.experiment.barrier import Barrier


def ring(stack: ExitStack, nranks: int, timeout_s: float = 5.0) -> list[Barrier]:
    barriers = [stack.enter_context(closing(Barrier(nranks, timeout_s))) for _ in range(nranks)]
    names = [barrier.listen() for barrier in barriers]
    with ThreadPoolExecutor(nranks) as pool:
        list(pool.map(Barrier.connect, barriers, names[1:] + names[:1]))
    return barriers


@pytest.mark.parametrize("nranks", [2, 3, 5])
def test_no_rank_leaves_before_all_have_come(nranks: int) -> None:
    entered, lock = [0] * 20, threading.Lock()

    def come_and_go(barrier: Barrier) -> None:
        for turn in range(len(entered)):
            with lock:
                entered[turn] += 1
            barrier.wait()
            assert entered[turn] == nranks

    with ExitStack() as stack, ThreadPoolExecutor(nranks) as pool:
        list(pool.map(come_and_go, ring(stack, nranks)))


def test_a_rank_that_does_not_come_is_given_up_after_the_timeout() -> None:
    with ExitStack() as stack, pytest.raises(TimeoutError):
        ring(stack, 3, timeout_s=0.1)[0].wait()


def test_a_rank_that_has_closed_is_noticed_at_once() -> None:
    with ExitStack() as stack:
        first, second = ring(stack, 2)
        second.close()
        with pytest.raises(ConnectionError):
            first.wait()
