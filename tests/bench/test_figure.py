"""What a figure comes to: ratio, value or difference, its interval, and whether its goal is met."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.bench.figure import (
    Figure,
    Goal,
    Result,
    ResultError,
    at_least,
    at_most,
    find,
    read,
    row,
)

OURS, REFERENCE = (2.0, 4.0, 6.0), (4.0, 4.0, 8.0)


def figure(goal: Goal | None, ours: tuple[float, ...] = OURS) -> Figure:
    return Figure("stream", "64k", "Gb/s", ours, REFERENCE, "iperf3", goal, "higher")


@pytest.mark.parametrize(("low", "met"), [(0.9, True), (1.0, True), (1.01, False)])
def test_a_goal_of_a_ratio_is_held_against_the_ratio_of_medians(low: float, met: bool) -> None:
    found = find(figure(at_least(low)))
    assert (found.value, found.met) == (1.0, met)


@pytest.mark.parametrize(("high", "met"), [(3.9, False), (4.0, True)])
def test_a_goal_of_a_value_leaves_the_reference_out(high: float, met: bool) -> None:
    found = find(figure(at_most(high, "value")))
    assert (found.value, found.met) == (4.0, met)


@pytest.mark.parametrize(("low", "met"), [(-2.5, True), (-1.5, False)])
def test_a_goal_of_a_difference_is_of_the_rounds_differences(low: float, met: bool) -> None:
    found = find(figure(Goal(low, 2.5, "difference")))
    assert (found.value, found.met) == (-2.0, met)


def test_a_verdict_is_clear_when_the_interval_does_not_reach_across() -> None:
    assert find(figure(at_least(0.1))).clear
    assert not find(figure(at_least(0.9))).clear
    assert find(figure(None)).met is None


def test_of_one_round_no_verdict_is_clear() -> None:
    one = Figure("help", "startup", "s", (0.4,), goal=at_most(0.5, "value"))
    assert (find(one).met, find(one).clear, find(one).low) == (True, False, None)


def test_a_row_says_what_is_short_of_its_goal() -> None:
    name, ours, theirs, related, interval, goal, met = row(figure(at_least(2)))
    assert (name, ours, theirs, related) == ("stream", "4 Gb/s", "4 iperf3", "1")
    assert interval.startswith("0.5..")
    assert (goal, met) == (">= 2 x", "NO")
    assert row(figure(at_least(0.1)))[-1] == "yes"
    assert row(figure(None))[-2:] == ("", "")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        (at_least(0.5), ">= 0.5 x"), (at_most(80, "value"), "<= 80 Gb/s"), (Goal(0.9, 1.1), "0.9 to 1.1 x"),
        (Goal(-0.05, 0.05, "difference"), "-0.05 to 0.05 more"),
    ],
)  # fmt: skip
def test_a_goal_is_said_with_its_unit(goal: Goal, said: str) -> None:
    assert goal.text("Gb/s") == said


def result(*figures: Figure) -> Result:
    return Result(began="", machine={"cpu": "2"}, rounds=3, seconds=1, figures=figures, raw=())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = result(figure(at_least(0.5)), figure(None))
    (tmp_path / "bench.json").write_bytes(msgspec.json.encode(made))
    assert read(str(tmp_path / "bench.json")) == made


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"), (b"{}", "is no result of `make bench`"),
        (b"", "is no result of `make bench`"),
        (msgspec.json.encode(msgspec.structs.replace(result(), schema=9)), "has schema 9, this reads 1"),
    ],
    ids=["missing", "another", "empty", "newer"],
)  # fmt: skip
def test_what_is_no_result_is_named(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultError, match=said) as refused:
        read(str(path))
    assert str(refused.value).startswith(str(path))
