"""No rank leaves a barrier before all have come; what happens when one does not come."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from nodes.client.runtime import MACHINE
from workloads.experiment.barrier import Barrier
from workloads.experiment.far_link import FarListener, dial
from workloads.progress import Progress


def ring(stack: ExitStack, nranks: int, timeout_s: float = 5.0) -> list[Barrier]:
    progress = [stack.enter_context(closing(Progress(MACHINE, timeout_s))) for _ in range(nranks)]
    return connected(stack, progress)


def connected(
    stack: ExitStack, progress: list[Progress], machines: list[str] | None = None
) -> list[Barrier]:
    """A barrier for each rank; `machines`: the address of each rank's, None for one machine."""
    nranks = len(progress)
    where = machines or [""] * nranks
    barriers = [stack.enter_context(closing(Barrier(rank, where, own))) for rank, own in enumerate(progress)]
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


@pytest.mark.parametrize("nranks", [1, 2, 5])
def test_every_rank_hears_whether_one_has_voted_and_no_vote_lasts(nranks: int) -> None:
    def come_and_go(barrier: Barrier, rank: int) -> list[bool]:
        return [barrier.wait(voter == rank) for voter in (0, None, nranks - 1, None)]

    with ExitStack() as stack, ThreadPoolExecutor(nranks) as pool:
        heard = list(pool.map(come_and_go, ring(stack, nranks), range(nranks)))
    assert heard == [[True, False, True, False]] * nranks


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


A, B = "127.0.0.1", "127.0.0.2"  # stand for machines
DIVIDED = [[A, B], [A, A, B, B], [A, B, A, B], [A, B, B, A], [A, A, A, B]]


@pytest.mark.parametrize("machines", DIVIDED, ids="".join)
def test_ranks_of_two_machines_wait_for_each_other(machines: list[str]) -> None:
    nranks = len(machines)
    entered, lock = [0] * 20, threading.Lock()

    def come_and_go(barrier: Barrier) -> None:
        for turn in range(len(entered)):
            with lock:
                entered[turn] += 1
            barrier.wait()
            assert entered[turn] == nranks

    with ExitStack() as stack, ThreadPoolExecutor(nranks) as pool:
        progress = [stack.enter_context(closing(Progress(MACHINE, 5.0))) for _ in range(nranks)]
        list(pool.map(come_and_go, connected(stack, progress, machines)))


@pytest.mark.parametrize("machines", [[A, B], [A, B, B, A]], ids="".join)
def test_what_moves_on_one_machine_is_known_on_the_other(machines: list[str]) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        progress = [stack.enter_context(closing(Progress(MACHINE, 0.8))) for _ in machines]
        barriers = connected(stack, progress, machines)
        first = pool.submit(barriers[0].wait)
        for _ in range(30):
            time.sleep(0.05)
            progress[1].moved()
            assert not first.done()
        with ThreadPoolExecutor(len(machines)) as rest:
            list(rest.map(Barrier.wait, barriers[1:]))
        first.result()


def test_machines_where_nothing_moves_do_not_keep_each_other_awake() -> None:
    with ExitStack() as stack:
        progress = [stack.enter_context(closing(Progress(MACHINE, 0.2))) for _ in (A, B)]
        first, _ = connected(stack, progress, [A, B])
        for each in progress:
            each.moved()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            first.wait()
        assert time.monotonic() - began < 5


def test_a_stranger_who_connects_is_no_rank() -> None:
    listener = FarListener(A)
    with closing(listener.socket), ThreadPoolExecutor(1) as pool:
        listener.socket.settimeout(5)
        accepted = pool.submit(listener.accept)
        with closing(socket.create_connection(listener.socket.getsockname())) as stranger:
            stranger.sendall(bytes(17))
            assert stranger.recv(1) == b""
        barrier, gossip = dial(listener.name, 5)
        with closing(barrier), closing(gossip):
            barrier.sendall(b"x")
            mine, other = accepted.result()
            with closing(mine), closing(other):
                assert mine.recv(1) == b"x"
