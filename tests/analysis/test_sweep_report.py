"""A sweep's report: every cell is on it, along the axis or as a panel, and every row leads to its run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis.captioned_figure import painted
from analysis.load import load
from analysis.style import PATH_COLOURS
from analysis.summary import summarise
from analysis.sweep_plot import PANELS, Layout, Point, layout, order, paint
from analysis.sweep_report import answer, write_sweep_report
from commands import dispatch
from commands.report import cells_of
from tests.analysis.made_sweep import made_sweep
from tests.analysis.synthetic import MIB, Made

GRID = {"hosts": ["2", "16", "4"], "niov-size": ["4K", "64K"]}


def points(place: Path, **options: list[str]) -> list[Point]:
    """A point a path of each combination of two values of each option."""
    (row, *_) = summarise(load(Made(sizes=(MIB,), paths=("devmem",)).write(place / "r")))
    found: list[dict[str, str]] = [{}]
    for name, texts in options.items():
        found = [each | {name: text} for each in found for text in texts]
    return [Point(each, row) for each in found]


def test_the_option_with_most_values_is_the_axis_and_others_are_panels(tmp_path: Path) -> None:
    found = layout(points(tmp_path, link=["1Gbit", "100Mbit"], hosts=["16", "2", "4"], path=["devmem"]))
    assert (found.axis, found.ticks) == ("hosts", ("2", "4", "16"))
    assert list(found.panels) == ["link 1Gbit", "link 100Mbit"]
    assert [len(each) for each in found.panels.values()] == [3, 3]


def test_sizes_come_before_any_option_and_nothing_is_one_panel(tmp_path: Path) -> None:
    run = load(Made(sizes=(MIB, 4 * MIB), paths=("devmem",)).write(tmp_path / "sizes"))
    several = [Point({"hosts": host}, row) for host in ("2", "4", "8") for row in summarise(run)]
    assert layout(several).axis == "size"
    assert len(layout(several).panels) == 3
    alone = layout(points(tmp_path))
    assert (alone.axis, alone.ticks, list(alone.panels)) == ("", ("",), [""])


def test_values_stand_in_the_order_of_their_numbers() -> None:
    texts = ["1Gbit", "none", "100Mbit", "9kbit", "", "2", "10"]
    assert sorted(texts, key=order) == ["2", "10", "9kbit", "100Mbit", "1Gbit", "", "none"]


def test_a_panel_has_a_line_a_path_in_its_colour(tmp_path: Path) -> None:
    run = load(Made(sizes=(MIB, 4 * MIB)).write(tmp_path / "r"))
    found = layout([Point({"hosts": host}, row) for host in ("2", "4") for row in summarise(run)])
    figure = painted(lambda figure: paint(figure, found, "GB/s", lambda row: row.busbw_GB_per_s))
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in shown] == ["hosts 2", "hosts 4"]
    for axes in shown:
        lines = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
        assert [to_hex(line.get_color()).upper() for line in lines] == [*PATH_COLOURS.values()]
        assert [list(line.get_ydata()) for line in lines] == [pytest.approx([y] * 2) for y in (1.875, 1.5, 3)]  # type: ignore[arg-type]


def test_panels_beyond_a_limit_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    (point,) = points(tmp_path)
    many = Layout("", ("",), {str(number): [point] for number in range(PANELS + 2)})
    assert paint(Figure(), many, "x", lambda _: 1.0).endswith(" 2 more panels are left out.")


def test_the_page_has_every_row_and_leads_to_its_run(tmp_path: Path) -> None:
    sweep = made_sweep(tmp_path / "sweep", GRID, failed=1)
    drawn = write_sweep_report(sweep, list(cells_of(sweep)), ["x: h1 died"], ["python", "run.py", "sweep"])
    assert (drawn.cells, drawn.rows, drawn.wrong_elements) == (5, 15, 0)
    page = drawn.path.read_text()
    assert {*re.findall(r'href="(cells/[^"]+)"', page)} == {
        f"cells/cell{number}-1/report.html" for number in range(5)
    }
    assert all((sweep / each).parent.is_dir() for each in re.findall(r'href="(cells/[^"]+)"', page))
    assert "1 cells are not complete" in page
    assert "<li>x: h1 died</li>" in page
    assert "devmem is faster than bounce in 2 of 5 rows, slower in 2, and not told apart in 1" in page
    text = (sweep / "report.md").read_text()
    assert text.count("| **devmem**") == 0
    assert text.count("| devmem |") == 5
    assert "\n| hosts | niov-size | size (B) | path |" in text, "what all cells share is no column"
    assert {path.name for path in (sweep / "figures").iterdir()} == {
        f"sweep_{name}.{suffix}" for name in ("rate", "host_dram", "cpu") for suffix in ("png", "svg")
    }


def test_without_both_paths_in_a_cell_there_is_no_answer(tmp_path: Path) -> None:
    assert answer(summarise(load(Made(paths=("devmem",), sizes=(MIB,)).write(tmp_path / "r")))) == ""


def test_the_command_draws_a_sweep_and_refuses_options_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = made_sweep(tmp_path / "sweep", {"hosts": ["2", "4"]}, failed=1)
    monkeypatch.setattr("sys.argv", ["run.py", "report", str(sweep)])
    assert dispatch.main() == 0
    assert capsys.readouterr().out == (
        f"# 1 cells complete, 1 not; 3 rows\n# Report: {sweep / 'report.html'}\n"
    )
    assert "h1 died" in (sweep / "report.html").read_text()
    monkeypatch.setattr("sys.argv", ["run.py", "report", str(sweep), "--rfo"])
    assert dispatch.main() == 2
    assert "is a sweep, whose report has no options" in capsys.readouterr().err


def test_wrong_values_of_any_cell_are_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = made_sweep(tmp_path / "sweep", {"hosts": ["2"]})
    made = Made(sizes=(MIB,))
    rows = made.rows()
    rows[0]["wrong_elements"] = 2  # of a warm-up iteration
    made.write(sweep / "cells/cell0-1", rows)
    monkeypatch.setattr("sys.argv", ["run.py", "report", str(sweep)])
    assert dispatch.main() == 1
    assert "2 wrong values." in (sweep / "report.html").read_text()
