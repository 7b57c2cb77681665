"""Claims and what runs say of them: figures, checkers, tables, the figure of all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from analysis import claims_text
from analysis.claims import (
    NOT_POSSIBLE,
    NOT_REPRODUCED,
    REPRODUCED,
    Claim,
    Outcome,
    Reading,
    bounds_text,
    judged,
    ours,
)
from analysis.claims_plot import figure
from analysis.results_error import ResultsError

GOODPUT = Claim(
    name="goodput", claim="It is fast.", source="letter", published="96 | 100", published_value=0.96,
    runs=("--repeat 1",), value=Reading(column="goodput"), scale=0.01, low=0.9, high=0.99, unit="of all",
)  # fmt: skip


def run(place: Path, *lines: str, name: str = "run") -> Path:
    (place / name).mkdir()
    (place / name / "summary.csv").write_text("\n".join(lines) + "\n")
    return place / name


def test_a_figure_is_the_scaled_cell_of_the_only_row_of_a_path(tmp_path: Path) -> None:
    place = run(tmp_path, "path,goodput", "bounce,50", "devmem,95")
    assert ours(GOODPUT, [place]) == pytest.approx(0.95)


def test_a_figure_over_another_is_of_that_run_and_path(tmp_path: Path) -> None:
    first = run(tmp_path, "path,t", "devmem,30")
    second = run(tmp_path, "path,t", "devmem,7", "bounce,5", name="second")
    over = Reading(column="t", path="bounce", run=2)
    claim = msgspec.structs.replace(GOODPUT, value=Reading(column="t"), over=over, scale=1.0)
    assert ours(claim, [first, second]) == 6.0


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("path,goodput", "bounce,1"), "0 rows of devmem"),
        (("path,goodput", "devmem,1", "devmem,2"), "2 rows of devmem"),
        (("path,other", "devmem,1"), "no column goodput"),
        (("path,goodput", "devmem,"), "goodput of devmem in .* is '', no number"),
    ],
)
def test_what_cannot_be_read_is_a_sentence_and_no_reproduction(
    lines: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    place = run(tmp_path, *lines)
    with pytest.raises(ResultsError, match=sentence) as raised:
        ours(GOODPUT, [place])
    found = judged(GOODPUT, [place])
    assert (found.verdict, found.reason, found.ours) == (NOT_REPRODUCED, str(raised.value), None)


def test_nothing_is_divided_by_zero(tmp_path: Path) -> None:
    place = run(tmp_path, "path,goodput,t", "devmem,1,0")
    claim = msgspec.structs.replace(GOODPUT, over=Reading(column="t"))
    assert judged(claim, [place]).reason == "t of devmem is 0, which nothing can be divided by"


def test_a_summary_that_is_not_there_is_no_reproduction(tmp_path: Path) -> None:
    assert judged(GOODPUT, [tmp_path]).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("checker", "holding", "failing"),
    [
        ("between", (90, 95, 99), (89.9, 99.1)),
        ("at_least", (90, 99.1), (89.9,)),
        ("at_most", (89.9, 99), (99.1,)),
    ],
)
def test_a_checker_holds_to_its_bounds_and_not_beyond(
    checker: str, holding: tuple[float, ...], failing: tuple[float, ...], tmp_path: Path
) -> None:
    claim = msgspec.convert(msgspec.to_builtins(GOODPUT) | {"checker": checker, "scale": 1.0, "low": 90.0,
                                                            "high": 99.0}, Claim)  # fmt: skip
    for value in (*holding, *failing):
        (tmp_path / str(value)).mkdir()
        place = run(tmp_path / str(value), "path,goodput", f"devmem,{value}")
        assert judged(claim, [place]).verdict == (REPRODUCED if value in holding else NOT_REPRODUCED), value


def test_what_is_missed_is_told_with_what_the_run_says_of_its_times(tmp_path: Path) -> None:
    place = run(tmp_path, "path,goodput,verdict,verdict_reason", "devmem,80,cpu-limited,a core was busy")
    found = judged(GOODPUT, [place])
    told = "not reproduced: it should be 0.9 to 0.99 (the run's times are cpu-limited: a core was busy)"
    assert (found.ours_text, found.verdict_text) == ("0.8 of all", told)


def outcomes() -> list[Outcome]:
    impossible = msgspec.structs.replace(GOODPUT, name="cycles", impossible="no kernel", runs=())
    low = msgspec.structs.replace(GOODPUT, name="low", checker="at_least", high=None)
    return [
        Outcome(claim=GOODPUT, verdict=REPRODUCED, ours=0.95, runs=("runs/goodput-1",)),
        Outcome(claim=impossible, verdict=NOT_POSSIBLE, reason="no kernel"),
        Outcome(claim=low, verdict=NOT_REPRODUCED, reason="it is slow", ours=0.5),
    ]


def test_a_log_has_a_line_for_each_claim() -> None:
    assert claims_text.plain(outcomes()).splitlines() == [
        "claim    published  ours         verdict",
        "goodput  96 | 100   0.95 of all  reproduced",
        "cycles   96 | 100   -            not possible here: no kernel",
        "low      96 | 100   0.5 of all   not reproduced: it is slow",
    ]
    assert claims_text.counts(outcomes()) == "1 reproduced, 1 not reproduced, 1 not possible here"


def test_the_report_has_bounds_and_leads_to_the_runs() -> None:
    text = claims_text.markdown(outcomes(), "python run.py reproduce")
    assert "| It is fast. | 96 \\| 100 | 0.95 of all | 0.9 to 0.99 | reproduced |" in text
    assert "| It is fast. | 96 \\| 100 | - | - | not possible here: no kernel |" in text
    assert "- [runs/goodput-1](runs/goodput-1/report.html): `python run.py --repeat 1`" in text
    assert [bounds_text(each.claim) for each in outcomes()] == ["0.9 to 0.99", "", "at least 0.9"]


def test_outcomes_outlive_their_file() -> None:
    assert msgspec.json.decode(msgspec.json.encode(outcomes()), type=list[Outcome]) == outcomes()


def test_the_figure_shows_those_with_two_numbers_and_which_of_them_hold() -> None:
    axes = figure(outcomes()).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["goodput", "low"]
    points = [line for line in axes.lines if line.get_marker() in ("o", ">")]
    assert [point.get_xdata()[0] for point in points] == pytest.approx([0.95 / 0.96, 0.5 / 0.96])  # type: ignore[index]
    assert [point.get_markerfacecolor() for point in points] == ["black", "white"]


def test_the_figure_points_to_what_lies_beyond_its_axis() -> None:
    far = msgspec.structs.replace(outcomes()[0], ours=9.0)
    marks = [line.get_marker() for line in figure([far]).axes[0].lines]
    assert ">" in marks
    assert "o" not in marks
