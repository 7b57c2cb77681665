"""docs/results.md has every column and every field, in order, each with its meaning."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from analysis.ledger import HostMemoryRow
from analysis.load import load
from analysis.nics import NicRow
from analysis.processes import ProcessRow
from analysis.summary import SummaryRow, summarise
from analysis.table import table_text
from tests.analysis.synthetic import Made
from tests.docs import pages
from workloads.experiment.ledger_series import LedgerRow
from workloads.experiment.manifest import Manifest
from workloads.experiment.memory_usage import MemoryUsage
from workloads.experiment.records import Operation, Sample

PAGE = "docs/results.md"
TABLE = pages.table(PAGE, "The table")


def names(heading: str) -> list[str]:
    return [pages.named(row[0])[0] for row in pages.table(PAGE, heading)]


def test_samples_csv_is_explained_column_by_column() -> None:
    assert names("samples.csv") == list(Sample.__struct_fields__)


def test_operations_csv_is_explained_column_by_column() -> None:
    assert names("operations.csv") == list(Operation.__struct_fields__)


@pytest.mark.parametrize(
    ("file", "record"), [("ledger.csv", LedgerRow), ("memory_counters.csv", MemoryUsage)]
)
def test_a_file_of_records_is_explained_column_by_column(file: str, record: type[msgspec.Struct]) -> None:
    assert names(file) == list(record.__struct_fields__)


@pytest.mark.parametrize(
    ("file", "record"), [("host_memory.csv", HostMemoryRow), ("processes.csv", ProcessRow)]
)
def test_a_table_that_is_drawn_is_explained_column_by_column(
    file: str, record: type[HostMemoryRow | ProcessRow]
) -> None:
    assert names(file) == [field.name for field in dataclasses.fields(record)]


def test_nics_csv_is_explained_column_by_column() -> None:
    assert names("nics.csv") == [field.name for field in dataclasses.fields(NicRow)]


def test_summary_csv_is_explained_column_by_column() -> None:
    assert names("summary.csv") == [field.name for field in dataclasses.fields(SummaryRow)]


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


@pytest.mark.parametrize(
    "heading",
    [
        "The table",
        "samples.csv",
        "operations.csv",
        "ledger.csv",
        "host_memory.csv",
        "memory_counters.csv",
        "processes.csv",
        "nics.csv",
        "summary.csv",
        "manifest.json",
    ],
)
def test_every_row_says_what_it_means(heading: str) -> None:
    assert all(row[-1] for row in pages.table(PAGE, heading))
