"""A run in time is drawn if something was hurt on purpose in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis import timeline
from analysis.load import load
from analysis.plots import draw
from analysis.summary import summarise
from tests.analysis.synthetic import FAULTS, MIB, Made

MADE = Made(sizes=(MIB,), paths=("devmem", "kernel"), manifest={"faults": FAULTS})


def test_a_line_stands_where_a_fault_happened_and_a_bar_where_an_iteration_was(tmp_path: Path) -> None:
    run = load(MADE.write(tmp_path / "r"))
    axes = Figure().add_subplot()
    colours = {"devmem": "#0072B2", "kernel": "#009E73"}
    caption = timeline.paint(axes, run, colours, {path: path for path in colours})
    (line,) = axes.get_lines()
    at_s: Any = line.get_xdata()
    assert round(at_s[0], 6) == 0.0021  # iterations begin at 100 s
    collections: Any = axes.collections
    bars = [collection.get_segments() for collection in collections]
    assert [len(each) for each in bars] == [9, 9]  # of three repetitions, warm-up included
    received = 8e-9 * 4 * 1.5 * MIB / (MIB / 1.25e9)
    assert any(abs(segment[0][1] - received) < 1e-6 for segment in bars[0])
    assert "hurt on purpose" in caption
    assert [each.get_text() for each in axes.texts] == [" down"]


def test_of_lines_that_stand_close_together_the_first_is_named(tmp_path: Path) -> None:
    again = [FAULTS[0] | {"time_s": 100.0 + at, "action": name} for at, name in
             ((0.0002, "up"), (0.0001, "down"), (0.02, "down"))]  # fmt: skip
    run = load(Made(sizes=(MIB,), paths=("devmem",), manifest={"faults": again}).write(tmp_path / "r"))
    axes = Figure().add_subplot()
    timeline.paint(axes, run, {"devmem": "#0072B2"}, {"devmem": "devmem"})
    assert len(axes.get_lines()) == 3
    assert [each.get_text() for each in axes.texts] == [" down", " down"]


def test_it_is_among_the_figures_of_such_a_run_alone(tmp_path: Path) -> None:
    for name, made in (("hurt", MADE), ("sound", Made(sizes=(MIB,), paths=("devmem",)))):
        run = load(made.write(tmp_path / name))
        figures = draw(run, summarise(run))
        assert figures.failed == ()
        assert ("timeline.png" in [each.path.name for each in figures.drawn]) is (name == "hurt")
