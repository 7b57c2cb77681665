"""docs/results.md has each column of the printed table and each field of the manifest, with its meaning.

The columns of files are in docs/reference/columns.md: tests/docs/test_reference.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.load import load
from analysis.summary import summarise
from analysis.table import table_text
from tests.analysis.synthetic import Made
from tests.docs import pages
from workloads.experiment.manifest import Manifest

PAGE = "docs/results.md"
TABLE = pages.table(PAGE, "The table")


def names(heading: str) -> list[str]:
    return [pages.named(row[0])[0] for row in pages.table(PAGE, heading)]


def test_manifest_json_is_explained_field_by_field() -> None:
    assert names("manifest.json") == list(Manifest.__struct_fields__)


@pytest.mark.parametrize("workload", ["collective", "stream"])
def test_the_printed_table_is_explained_column_by_column(tmp_path: Path, workload: str) -> None:
    made = Made(workload="stream", bidir=True) if workload == "stream" else Made()
    run = load(made.write(tmp_path / "r"))
    header, units = table_text(run, summarise(run)).splitlines()[1:3]
    shown = [row for row in TABLE if row[1] in ("both", workload)]
    assert header.split() == " ".join(pages.named(row[0])[0] for row in shown).split()
    counted = ("retr", "#wrong")  # the table leaves out their unit
    with_unit = [row[2] for row in shown if row[2] and pages.named(row[0])[0] not in counted]
    assert units.split() == [f"({unit})" for unit in with_unit]


@pytest.mark.parametrize("heading", ["The table", "manifest.json"])
def test_every_row_says_what_it_means(heading: str) -> None:
    assert all(row[-1] for row in pages.table(PAGE, heading))
