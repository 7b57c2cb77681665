"""Two benches are compared by ratios to what each measured beside; chance is asked before worse is said."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.bench.compare import change, main
from tests.bench.figure import Figure, Goal, Result, at_least, at_most

STEADY = (10.0, 10.1, 9.9, 10.2, 9.8, 10.05, 9.95)


def figure(
    factor: float = 1.0, machine: float = 1.0, goal: Goal | None = None, better: str = "higher"
) -> Figure:
    """`machine`: how much faster than another the machine is, our side and the reference alike."""
    ours, reference = tuple(v * factor * machine for v in STEADY), (20.0 * machine,) * 7
    return Figure("stream", "64k", "Gb/s", ours, reference, "iperf3", goal or at_least(0.5), better)  # type: ignore[arg-type]


def test_a_machine_twice_as_fast_changes_nothing() -> None:
    assert change(figure(), figure(machine=2)).word == "alike"


@pytest.mark.parametrize(
    ("factor", "better", "word"),
    [(1.2, "higher", "better"), (0.8, "higher", "WORSE"), (1.2, "lower", "WORSE"), (0.8, "", "changed")],
)
def test_a_change_is_better_or_worse_by_its_goal(factor: float, better: str, word: str) -> None:
    found = change(figure(better=better), figure(factor, better=better))
    assert (found.word, found.regressed) == (word, word == "WORSE")
    assert found.ratio == pytest.approx(factor)
    assert found.p < 0.05


def test_a_change_within_five_percent_is_no_regression() -> None:
    found = change(figure(), figure(0.96))
    assert (found.word, found.regressed) == ("WORSE", False)


def test_three_rounds_are_too_few_to_tell() -> None:
    few = msgspec.structs.replace(figure(0.5), ours=(5.0, 5.1, 4.9), reference=(20.0,) * 3)
    assert change(few, few).word == "too-few"


def test_a_figure_without_a_reference_is_compared_as_it_is() -> None:
    old = Figure("help", "startup", "s", STEADY, goal=at_most(11, "value"), better="lower")
    new = msgspec.structs.replace(old, ours=tuple(2 * each for each in STEADY))
    assert change(old, new).regressed


def test_what_may_be_zero_is_compared_by_order_alone() -> None:
    idle = Figure(
        "idle", "pingpong", "%", (0.0, 0.0, 0.2, 0.0, 0.0), goal=at_most(1, "value"), better="lower"
    )
    busy = msgspec.structs.replace(idle, ours=(3.0, 2.8, 3.1, 2.9, 3.0))
    assert (change(idle, idle).word, change(idle, idle).regressed) == ("alike", False)
    assert (change(idle, busy).word, change(idle, busy).regressed) == ("WORSE", True)
    assert change(busy, idle).word == "better"


def written(path: Path, *figures: Figure, cpu: str = "2") -> str:
    made = Result(began="", machine={"cpu": cpu}, rounds=7, seconds=1, figures=figures, raw=())
    path.write_bytes(msgspec.json.encode(made))
    return str(path)


def test_the_status_says_whether_something_became_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = msgspec.structs.replace(figure(), name="other")
    old = written(tmp_path / "old", figure(), other)
    new = written(tmp_path / "new", figure(0.8), cpu="4")
    assert (main([old, old]), main([old, new])) == (0, 1)
    said = capsys.readouterr().out.splitlines()
    assert "# cpu differs: 2 / 4" in said
    assert "# of the old one alone: other" in said
    assert said[-1] == "# Worse by more than 5%: stream"


def test_benches_of_other_parts_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = msgspec.structs.replace(figure(), name="other")
    assert main([written(tmp_path / "old", figure()), written(tmp_path / "new", other)]) == 2
    assert "no figure in common" in capsys.readouterr().err
    assert main([str(tmp_path / "none"), str(tmp_path / "new")]) == 2
