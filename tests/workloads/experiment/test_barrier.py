"""No rank leaves a barrier before all have come; what happens when one does not come."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from nodes.client.runtime import MACHINE
from workloads.experiment.barrier import Barrier
from workloads.progress import Progress


def ring(stack: ExitStack, nranks: int, timeout_s: float = 5.0) -> list[Barrier]:
    progress = [stack.enter_context(closing(Progress(MACHINE, timeout_s))) for _ in range(nranks)]
    return connected(stack, progress)


def connected(stack: ExitStack, progress: list[Progress]) -> list[Barrier]:
    """A barrier for each rank."""
    nranks = len(progress)
    barriers = [
        stack.enter_context(closing(Barrier(rank, [""] * nranks, own))) for rank, own in enumerate(progress)
    ]
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


def test_a_rank_is_not_given_up_while_another_moves() -> None:
    """Rank 1 comes long after the timeout, and says meanwhile that it moves; rank 0 waits for it."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        progress = [stack.enter_context(closing(Progress(MACHINE, 0.2))) for _ in range(2)]
        first, second = connected(stack, progress)
        waiting = pool.submit(first.wait)
        for _ in range(20):
            time.sleep(0.05)
            progress[1].moved()
        assert not waiting.done()
        second.wait()
        waiting.result()
