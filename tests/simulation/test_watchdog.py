"""A process that waits for this machine, or never waits, is ended by a sentence with its line."""

from __future__ import annotations

import inspect
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest

from nodes.client.host import Host
from nodes.simulation.failures import StuckError
from nodes.simulation.simulation import Simulation
from nodes.simulation.watchdog import Watchdog

LOOK_S = 0.02
FOR_EVER_S = 3600.0


def sleeps(_: Host) -> None:
    time.sleep(FOR_EVER_S)


def accepts(_: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.accept()


def locks(_: Host) -> None:
    lock = threading.Lock()
    with lock:
        lock.acquire()


def takes(_: Host) -> None:
    queue.Queue[int]().get()


def loops(_: Host) -> None:
    while True:
        pass


def watched(program: Callable[[Host], None], waiting: int, computing: int) -> None:
    with Simulation() as simulation:
        node = simulation.add_host("a", "10.0.0.1/24")
        node.spawn(program)
        with Watchdog(simulation, waiting, computing, LOOK_S):
            simulation.run()


@pytest.mark.parametrize("program", [sleeps, accepts, locks, takes])
def test_a_real_wait_is_ended_by_a_sentence_with_its_process_and_line(
    program: Callable[[Host], None],
) -> None:
    lines, first = inspect.getsourcelines(program)
    with pytest.raises(StuckError) as found:
        watched(program, 3, 1_000_000)
    where = f"a:{program.__name__} does not go on, at {__file__}, line {first + len(lines) - 1}: simulated"
    assert where in str(found.value)


def test_a_loop_without_an_end_is_ended_later() -> None:
    with pytest.raises(StuckError, match=r"a:loops does not go on, at .*test_watchdog\.py, line"):
        watched(loops, 3, 20)


def test_a_process_that_computes_for_longer_than_it_may_wait_is_left_alone() -> None:
    def computes(_: Host) -> None:
        until = time.thread_time() + 20 * LOOK_S
        while time.thread_time() < until:
            pass

    watched(computes, 3, 1_000_000)


def test_looks_at_another_turn_of_a_process_are_counted_anew() -> None:
    """Each takes less than it may, and all together take more."""

    def computes(host: Host) -> None:
        for _ in range(10):
            until = time.monotonic() + 10 * LOOK_S
            while time.monotonic() < until:
                pass
            host.runtime.sleep(1.0)

    watched(computes, 1_000_000, 14)


def test_the_watchdog_takes_its_thread_and_its_signal_away() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Simulation() as simulation, pytest.raises(ValueError, match="over"), Watchdog(simulation):
        assert "watchdog" in {thread.name for thread in threading.enumerate()}
        raise ValueError("over")
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
    assert signal.getsignal(signal.SIGUSR1) is before
