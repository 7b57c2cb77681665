"""docs/reference/columns.md has each column of the printed table, and docs/results.md leads there.

The pages are made of the columns themselves: tests/docs/test_reference.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.load import load
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import Made
from tests.docs import pages

TABLE = pages.table("docs/reference/columns.md", "The printed table")


def made(workload: str) -> Made:
    return Made(workload="stream", bidir=True) if workload == "stream" else Made()


@pytest.mark.parametrize("workload", ["collectives", "stream"])
def test_the_printed_table_is_explained_column_by_column(tmp_path: Path, workload: str) -> None:
    run = load(made(workload).write(tmp_path / "r"))
    header, units = table_text(run, summarise(run)).splitlines()[1:3]
    words = {pages.named(row[1])[0]: (pages.named(row[0])[0], row[2]) for row in TABLE}
    shown = [words[name] for name in run.manifest.measure.columns if name != "predicted"]  # without a rate
    assert header.split() == " ".join(word for word, _ in shown).split()
    assert units.split() == [f"({unit})" for _, unit in shown if unit]


@pytest.mark.parametrize("workload", ["collectives", "stream"])
def test_the_page_says_whose_table_has_a_column(tmp_path: Path, workload: str) -> None:
    columns = load(made(workload).write(tmp_path / "r")).manifest.measure.columns
    whose = {pages.named(row[1])[0]: row[4].replace(" but barrier", "").split(", ") for row in TABLE}
    told = {name for name, words in whose.items() if {"all", workload} & {*words}}
    assert told - {"predicted"} == {*columns} - {"predicted"}
