"""How far a simulated trial has come."""

from __future__ import annotations

from commands.simulated_progress import SimulatedProgress
from nodes.simulation.clock import Clock
from workloads.experiment.records import Trial

TRIAL = Trial("devmem", 1024, 0)


class Watched:
    """`at(simulated ms, real s)`: the simulation looks then."""

    def __init__(self, expected_s: dict[int, float]) -> None:
        self.clock, self.real_s = Clock(), 100.0
        self.told: list[str] = []
        self.checks = 0
        self.progress = SimulatedProgress(self.clock, self._check, expected_s, lambda: self.real_s)
        self.progress.begin(TRIAL, self.told.append)

    def _check(self) -> None:
        self.checks += 1

    def at(self, simulated_ms: float, real_s: float) -> None:
        self.clock.at(1_000_000_000 + round(1e6 * simulated_ms), lambda: None)
        self.clock.step()
        self.real_s = 100 + real_s
        self.progress.watch()


def test_time_left_follows_from_the_prediction_and_from_the_speed_so_far() -> None:
    watched = Watched({1024: 0.010})
    watched.at(2.0, 4.0)
    watched.at(5.0, 12.0)
    watched.at(11.0, 24.0)
    assert watched.told == [
        "2.000 ms simulated, about 16 s left", "5.000 ms simulated, about 12 s left", "11.000 ms simulated",
    ]  # fmt: skip


def test_each_look_may_end_the_run_but_words_come_twice_a_second_at_most() -> None:
    watched = Watched({})
    for real_s in (0.1, 0.2, 0.6, 0.9, 1.2):
        watched.at(10 * real_s, real_s)
    assert watched.checks == 5
    assert watched.told == ["6.000 ms simulated", "12.000 ms simulated"]


def test_a_trial_is_expected_to_take_what_the_last_one_took() -> None:
    watched = Watched({1024: 1000.0})
    watched.at(4.0, 1.0)
    watched.progress.end()
    watched.at(4.0, 9.0)
    watched.progress.begin(TRIAL, watched.told.append)
    watched.at(5.0, 12.0)
    assert watched.told[1:] == ["1.000 ms simulated, about 9 s left"]
