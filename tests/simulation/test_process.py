"""Simulated threads: they wait, and simulated time goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodes.simulation.failures import DeadlockError, SpinError
from nodes.simulation.simulation import Simulation


def elapsed(simulation: Simulation) -> float:
    return round(simulation.clock.seconds() - 1, 9)


def test_sleeps_of_several_threads_overlap_in_simulated_time() -> None:
    seen: list[tuple[str, float]] = []
    with Simulation() as simulation:
        runtime = simulation.runtime

        def sleeper(name: str, seconds: float) -> Callable[[], None]:
            def run() -> None:
                runtime.sleep(seconds)
                seen.append((name, elapsed(simulation)))

            return run

        for name, seconds in (("c", 3600.0), ("a", 0.5), ("b", 0.5)):
            runtime.spawn(sleeper(name, seconds), name)
        simulation.run()
    assert seen == [("a", 0.5), ("b", 0.5), ("c", 3600.0)]


def test_join_waits_for_the_end_or_for_its_timeout() -> None:
    seen: list[float] = []
    with Simulation() as simulation:
        runtime = simulation.runtime

        def main() -> None:
            thread = runtime.spawn(lambda: runtime.sleep(2.0), "slow")
            thread.join(0.5)
            seen.append(elapsed(simulation))
            thread.join()
            seen.append(elapsed(simulation))
            thread.join()
            seen.append(elapsed(simulation))

        runtime.spawn(main, "main")
        simulation.run()
    assert seen == [0.5, 2.0, 2.0]


def test_a_lock_lets_one_thread_in_at_a_time_in_the_order_of_asking() -> None:
    order: list[str] = []
    with Simulation() as simulation:
        runtime = simulation.runtime
        lock = runtime.lock()

        def hold(name: str) -> Callable[[], None]:
            def run() -> None:
                with lock:
                    order.append(f"{name} in")
                    runtime.sleep(1.0)
                    order.append(f"{name} out")

            return run

        for name in "abc":
            runtime.spawn(hold(name), name)
        simulation.run()
        assert elapsed(simulation) == 3.0
    assert order == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_a_condition_wakes_waiters_whose_predicate_holds_or_times_out() -> None:
    seen: list[tuple[str, bool, float]] = []
    with Simulation() as simulation:
        runtime = simulation.runtime
        condition = runtime.condition()
        ready: list[int] = []

        def wait(name: str, timeout: float | None) -> Callable[[], None]:
            def run() -> None:
                with condition:
                    got = condition.wait_for(lambda: bool(ready), timeout)
                    seen.append((name, got, elapsed(simulation)))

            return run

        def tell() -> None:
            runtime.sleep(1.0)
            with condition:
                ready.append(1)
                condition.notify_all()

        runtime.spawn(wait("patient", None), "patient")
        runtime.spawn(wait("hasty", 0.25), "hasty")
        runtime.spawn(tell, "tell")
        simulation.run()
    assert seen == [("hasty", False, 0.25), ("patient", True, 1.0)]


def test_a_thread_that_spins_is_ended_by_an_error_that_names_it() -> None:
    with Simulation() as simulation:

        def spin() -> None:
            while simulation.runtime.monotonic() < 5.0:
                pass

        simulation.runtime.spawn(spin, "rank 3")
        with pytest.raises(SpinError, match="rank 3 has looked at the clock"):
            simulation.run()


def test_threads_that_wait_for_ever_are_named() -> None:
    with Simulation() as simulation:
        lock = simulation.runtime.lock()

        def hold() -> None:
            lock.__enter__()

        def want() -> None:
            with lock:
                pass

        simulation.runtime.spawn(hold, "holder")
        simulation.runtime.spawn(want, "waiter")
        with pytest.raises(DeadlockError, match="wait for ever: waiter"):
            simulation.run()


def test_a_failure_of_a_thread_ends_the_run_and_the_others() -> None:
    ended: list[str] = []
    with Simulation() as simulation:
        runtime = simulation.runtime

        def patient() -> None:
            try:
                runtime.sleep(100.0)
            finally:
                ended.append("patient")

        def fail() -> None:
            runtime.sleep(1.0)
            raise ValueError("no")

        runtime.spawn(patient, "patient")
        runtime.spawn(fail, "bad")
        with pytest.raises(ValueError, match="no") as caught:
            simulation.run()
    assert caught.value.__notes__ == ["in the simulated process bad, 1.000000000 s after the start"]
    assert ended == ["patient"]


def test_the_main_program_itself_cannot_wait() -> None:
    with Simulation() as simulation, pytest.raises(RuntimeError, match="spawn one"):
        simulation.runtime.sleep(1.0)
