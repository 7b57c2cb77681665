"""How long a sweep will take: first guessed from what its runs do, then by the cells that have ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from workloads.collective import CollectiveOptions
from workloads.experiment.records import ExperimentConfig
from workloads.stream import StreamOptions
from workloads.sweep.estimate import Guess, estimates_s, guess, told

CONFIG = ExperimentConfig("star", 4, "all_reduce", (1 << 20,), ("devmem",), CollectiveOptions(), ranks=4)


def guess_s(**other: Any) -> float:
    return guess(msgspec.structs.replace(CONFIG, **other)).seconds


def test_a_guess_grows_with_what_there_is_to_do() -> None:
    more: list[dict[str, Any]] = [
        {"hosts": 8}, {"ranks": 8}, {"repeat": 6}, {"paths": ("devmem", "bounce")},
        {"sizes_bytes": (1 << 20, 1 << 24)}, {"sizes_bytes": (1 << 21,)},
        {"options": CollectiveOptions(iterations=9)},
    ]  # fmt: skip
    assert min(guess_s(**each) for each in more) > guess_s()


def test_a_stream_lasts_as_long_as_it_is_asked_to() -> None:
    short, long = (
        guess_s(workload="stream", ranks=2, repeat=3, options=StreamOptions(duration_s=each))
        for each in (1.0, 5.0)
    )
    assert long - short == pytest.approx(3 * 4.0)


def test_cells_that_have_ended_make_the_others_estimates_better() -> None:
    guesses = {
        "a": Guess("moe", 10.0),
        "b": Guess("moe", 20.0),
        "c": Guess("moe", 5.0),
        "d": Guess("rpc", 1.0),
    }
    assert estimates_s(guesses, {}) == {"a": 10.0, "b": 20.0, "c": 5.0, "d": 1.0}
    ended = {"a": 30.0, "b": 60.0, "gone": 1.0}
    assert estimates_s(guesses, ended) == {"a": 30.0, "b": 60.0, "c": 15.0, "d": 3.0}
    more = guesses | {"e": Guess("rpc", 3.0)}
    assert estimates_s(more, ended | {"d": 1.5})["e"] == 4.5, (
        "other workloads do not count where its own has ended"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(7.4, "7 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (9000, "2.5 h")]
)
def test_a_time_is_told_in_the_unit_that_suits_it(seconds: float, words: str) -> None:
    assert told(seconds) == words


def test_an_iteration_takes_as_long_as_the_slower_of_links_and_cpu() -> None:
    """1 MiB on 4 ranks keeps a machine busy for 42 ms; 5 repetitions have 2 places of 1 + 3 iterations."""
    fast, slow = (guess(CONFIG, {1 << 20: each}).seconds for each in (0.01, 1.0))
    assert fast == guess_s()
    assert slow - fast == pytest.approx(5 * 2 * 4 * (1.0 - 4 * (1 << 20) / 100e6))


def test_each_size_has_its_own_prediction() -> None:
    both = msgspec.structs.replace(CONFIG, sizes_bytes=(1 << 20, 1 << 21))
    one = guess(both, {1 << 21: 1.0}).seconds - guess(both).seconds
    assert one == pytest.approx(5 * 2 * 4 * (1.0 - 4 * (1 << 21) / 100e6))


def test_warm_up_lasts_for_its_time_or_for_its_iterations() -> None:
    plain, timed, short = (
        guess_s(options=CollectiveOptions(warmup_time_s=each)) for each in (0.0, 2.0, 0.001)
    )
    assert short == plain
    iteration_s = 0.02 + 4 * (1 << 20) / 100e6
    assert timed - plain == pytest.approx(5 * 2 * (2.0 - iteration_s))


def test_a_pause_is_between_iterations_in_place_of_what_else_is_there() -> None:
    plain, paused = (guess_s(options=CollectiveOptions(pause_s=each)) for each in (0.0, 3.0))
    assert paused - plain == pytest.approx(5 * 2 * 4 * (3.0 - 0.02))
