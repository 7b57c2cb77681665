"""Which times are steady, and what is said of those that are not."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis.load import load
from analysis.stability import told, warnings, words
from analysis.statistics import estimate
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import MIB, Made


def said(*repetitions: Sequence[float]) -> dict[str, str]:
    values = {key: np.array(each, dtype=float) for key, each in enumerate(repetitions)}
    return {each.kind: each.text for each in warnings(values, estimate(values))}


def test_five_steady_repetitions_are_not_warned_of() -> None:
    assert said([10, 10.1], [10.2, 10], [9.9, 10], [10.1, 10], [10, 10.2]) == {}


def test_few_repetitions_are() -> None:
    assert said([10, 10], [10, 10], [10, 10], [10, 10]) == {
        "few": "4 repetitions: intervals are approximate, as a rule too narrow: ask for --repeat 5 or more"
    }
    assert said([10])["few"].startswith("1 repetition: ")


def test_a_wide_interval_is() -> None:
    assert said([8], [12], [8], [12], [10], [9])["wide"].endswith("% of the median to either side")


def test_repetitions_that_differ_are() -> None:
    found = said([10] * 9, [10] * 9, [10] * 9, [14] * 9, [10] * 9)
    assert found["spread"] == "the standard deviation of the repetitions is 17 % of their mean"


@pytest.mark.parametrize(
    ("shift", "text"),
    [
        (0.03, "longer from repetition to repetition (+12 % from the first to the last, p = 0.017)"),
        (-0.03, "shorter from repetition to repetition (-12 % from the first to the last, p = 0.017)"),
        (0.01, ""),
    ],
)
def test_a_trend_over_repetitions_is(shift: float, text: str) -> None:
    found = said(*([1 + shift * number] for number in range(5))).get("trend", "")
    assert found.removeprefix("times become ") == text


def test_four_values_in_order_are_no_trend() -> None:
    assert "trend" not in said([10], [11], [12], [13])


def test_a_single_slow_or_fast_iteration_is() -> None:
    steady = [[10.0] * 5] * 4
    assert said(*steady, [10, 10, 30])["outliers"] == "the slowest iteration took 3.0 times the median"
    assert said(*steady, [10, 10, 4])["outliers"] == "the fastest iteration took 0.4 of the median"
    assert "outliers" not in said(*steady, [10, 10, 14])


def test_one_sentence_stands_for_the_rows_that_are_alike() -> None:
    wide = warnings({0: np.array([1.0]), 1: np.array([2.0])}, estimate({0: np.array([1.0, 2.0])}))
    assert [each.kind for each in wide] == ["few", "wide", "spread"]
    found = told([("a", words(wide)), ("b", ""), ("c", words(wide)), ("d", words(wide))])
    assert len(found) == 3
    assert found[0].startswith("2 repetitions: intervals are approximate")
    assert found[1].startswith("a: the 95 % interval is")
    assert found[1].endswith("(and 2 more rows)")


def test_a_size_that_is_a_result_names_no_row(tmp_path: Path) -> None:
    """How many bytes a stream moved was not asked for, and is another number in every repetition."""
    made = Made(workload="stream", paths=("devmem",), sizes=(10**9,), repetitions=5, jitter=0.2)
    run = load(made.write(tmp_path / "r"))
    text = table_text(run, summarise(run))
    assert "# Not steady           : devmem: times become longer" in text
    assert "B on" not in text


def test_the_table_and_the_summary_say_it(tmp_path: Path) -> None:
    run = load(Made(sizes=(MIB,), repetitions=5, jitter=0.2).write(tmp_path / "r"))
    rows = summarise(run)
    assert all("trend: times become longer" in row.stability for row in rows)
    text = table_text(run, rows)
    assert "# Not steady           : 1048576 B on devmem in place: times become longer" in text
    steady = load(Made(sizes=(MIB,), repetitions=5, jitter=0.001).write(tmp_path / "s"))
    assert {row.stability for row in summarise(steady)} == {""}
    assert "Not steady" not in table_text(steady, summarise(steady))
