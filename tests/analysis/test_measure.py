"""Analysis follows the manifest's measure and never a workload's name; schema 2 says the same by the name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

import analysis.measure
from analysis.analyse import analyse
from analysis.load import load
from analysis.summary import of_largest_size, summarise
from analysis.table import table_text
from tests.analysis.synthetic import MIB, Made
from workloads.registry import WORKLOADS

ANALYSIS = Path(__file__).parents[2] / "analysis"
NAMES = ["all_reduce", "stream"]


def renamed(made: Made, directory: Path, name: str) -> Path:
    """The run as a workload of another name would have written it."""
    rows = [row | {"workload": name} for row in made.rows()]
    made.write(directory, rows)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["config"]["workload"] = name
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_no_source_of_analysis_that_reads_a_run_names_a_workload() -> None:
    """Runs of schema 2 did not tell what they measure; a projection is of collectives, and of no run."""
    sources = [path for path in ANALYSIS.rglob("*") if path.suffix in (".py", ".j2")]
    assert len(sources) > 10
    # In quotation marks: reduce and scatter are also words of Python and of matplotlib.
    words = {path.name: set(re.findall(r"""["'](\w+)["']""", path.read_text())) for path in sources}
    named = {name for name, found in words.items() if found & set(WORKLOADS)}
    assert named == {"schema2.py", "projection.py"}


@pytest.mark.parametrize("workload", NAMES)
def test_a_workload_of_any_name_is_analysed_by_its_measure(workload: str, tmp_path: Path) -> None:
    made = Made(workload=workload, sizes=(MIB,), bidir=True)
    plain = analyse(made.write(tmp_path / "plain"))
    other = analyse(renamed(made, tmp_path / "other", "gossip"))
    assert other.table_text.replace("gossip", workload).replace("run other", "run plain") == plain.table_text
    assert [path.name for path in other.figure_paths] == [path.name for path in plain.figure_paths]
    assert other.summary.drop(columns="workload").equals(plain.summary.drop(columns="workload"))


@pytest.mark.parametrize("workload", NAMES)
def test_a_run_of_schema_2_is_read_as_one_of_schema_3(workload: str, tmp_path: Path) -> None:
    old = load(Made(workload=workload, schema=2).write(tmp_path / "r"))
    made = Made(workload=workload, schema=3)
    columns = tuple(name for name in made.measure().columns if name not in ("verdict", "predicted"))
    made.manifest = {"measure": msgspec.to_builtins(msgspec.structs.replace(made.measure(), columns=columns))}
    new = load(made.write(tmp_path / "r"))
    assert old.manifest.measure == new.manifest.measure
    assert summarise(old) == summarise(new)
    assert table_text(old, summarise(old)) == table_text(new, summarise(new))
    assert old.manifest.config["iterations"] == 2, "shown as it was written"


@pytest.mark.parametrize("schema", [2, 3])
def test_a_report_shows_every_option_by_its_own_name(schema: int, tmp_path: Path) -> None:
    page = analyse(Made(schema=schema).write(tmp_path / "r")).report_path.read_text()
    assert '<th scope="row" class="text">iterations</th><td class="text wrap">2</td>' in page
    assert '<th scope="row" class="text">warmup</th><td class="text wrap">1</td>' in page


def test_the_factor_is_the_measures(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    measure = msgspec.structs.replace(made.measure(), bandwidth_factor=0.25)
    made.manifest = {"measure": msgspec.to_builtins(measure)}
    row = of_largest_size(summarise(load(made.write(tmp_path / "r"))), made.measure())[0]
    assert row.busbw_GB_per_s == pytest.approx(0.25 * row.algbw_GB_per_s)


def test_the_columns_are_the_measures(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,))
    measure = msgspec.structs.replace(made.measure(), columns=("path", "busbw", "wrong"))
    made.manifest = {"measure": msgspec.to_builtins(measure)}
    run = load(made.write(tmp_path / "r"))
    lines = [line for line in table_text(run, summarise(run)).splitlines() if not line.startswith("#")]
    assert [line.split() for line in lines] == [
        ["path", "busbw", "#wrong"], ["(GB/s)"],
        ["devmem", "1.875", "0"], ["bounce", "1.500", "0"], ["kernel", "3.000", "0"],
    ]  # fmt: skip


def test_more_ranks_than_have_rows_leave_no_complete_iteration(tmp_path: Path) -> None:
    made = Made(sizes=(MIB,), paths=("devmem",))
    made.manifest = {"measure": msgspec.to_builtins(msgspec.structs.replace(made.measure(), ranks=5))}
    run = load(made.write(tmp_path / "r"))
    assert (len(run.measured), run.incomplete_iterations) == (0, 6)


def test_every_rate_has_its_words() -> None:
    assert {*analysis.measure.RATES} == {"busbw", "goodput"}


@pytest.mark.parametrize(
    ("value", "said"),
    [(12.345, "12.35"), (1.0, "1.00"), (0.0917, "0.0917"), (0.00012345, "0.000123"), (0.0, "0.00")],
)
def test_a_slow_links_rate_has_three_digits(value: float, said: str) -> None:
    assert analysis.measure.rounded(value, 2) == said
    assert analysis.measure.RATES["goodput"].told(value) == said
