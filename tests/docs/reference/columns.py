"""docs/reference/columns.md: each column of each file that a run writes, and of each table that is printed.

In: the records that become rows, the columns of tables. Out: the page's text. Owns which record is which
file's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from analysis.comparison import ComparedRow
from analysis.comparison_text import HEADS
from analysis.ledger import HostMemoryRow
from analysis.nics import NicRow
from analysis.printed import PRINTED
from analysis.processes import ProcessRow
from analysis.summary_row import SummaryRow
from analysis.wide_table import MORE
from tests.docs.reference.commands import grouped
from tests.docs.reference.definition import Described, described, linked, table
from workloads.experiment.ledger_series import LedgerRow
from workloads.experiment.link_usage import LinkUsage
from workloads.experiment.memory_usage import MemoryUsage
from workloads.experiment.records import ExperimentConfig, Operation
from workloads.experiment.sample import Sample
from workloads.experiment.tcp_info import TcpInfoSample
from workloads.experiment.usage import Usage
from workloads.measure import Measure
from workloads.registry import WORKLOADS
from workloads.traffic.outcome import TrafficRow


class File(NamedTuple):
    """`told`: the section that says what the rows are."""

    name: str
    record: type[Any]
    told: str = ""


FILES = (
    File("samples.csv", Sample),
    File("operations.csv", Operation),
    File("tcp_info.csv", TcpInfoSample),
    File("usage.csv", Usage),
    File("ledger.csv", LedgerRow),
    File("host_memory.csv", HostMemoryRow),
    File("memory_counters.csv", MemoryUsage),
    File("processes.csv", ProcessRow),
    File("nics.csv", NicRow),
    File("link_usage.csv", LinkUsage),
    File("summary.csv", SummaryRow),
    File("traffic.csv", TrafficRow, "traffic.md#what-it-got"),
)
_HEAD = """# Columns

Each column of each file that a run writes, with its unit and meaning, in the file's order. An empty cell is
a value that is unknown. [results.md](../results.md) says what a row is, what is measured and what is
modelled. After the files come the [printed table](#the-printed-table), the columns that
[`--columns`](#columns-on-request) takes as well, and [`compare`](#compare).
[fields.md](fields.md) has the files that are JSON.

`.venv/bin/python -m tests.docs.reference` makes this page from the records that become rows and from the
columns that are printed; a test compares the two.
"""
_PRINTED = """## The printed table

Of a run: what run.py and `report` print, and the report shows. *Column* is the header; *name* is what
`--columns` takes. The last column says whose table has it without being asked. That of `replay` follows from
its trace.

| column | name | unit | meaning | tables |
|---|---|---|---|---|"""
_MORE = """
## Columns on request

`--columns` takes these names, too. `--columns all` has all columns of which a row has a value.
"""
_COMPARE = """
## compare

What `compare` prints, a row for each path and size that both runs have. [comparing.md](../comparing.md) says
how they are compared.

| column | meaning |
|---|---|"""
_COMPARE_JSON = """
## Rows of compare as JSON

The fields of each of the `rows` of `compare --json`.
"""


def text() -> str:
    parts = [_HEAD, *(line for file in FILES for line in _section(file))]
    parts += [_PRINTED, *_printed()]
    more = [Described(name, column.unit, column.meaning) for name, column in MORE.items()]
    parts += [_MORE, *table("column", more)]
    parts += [_COMPARE, *(f"| `{name}` | {linked(head.meaning)} |" for name, head in HEADS.items())]
    parts += [_COMPARE_JSON, *table("field", described(ComparedRow)), ""]
    return "\n".join(parts)


def _printed() -> Iterator[str]:
    shown = {name: set(_measure(name).columns) for name in WORKLOADS if name != "replay"}
    for name, column in PRINTED.items():
        has = [workload for workload, columns in shown.items() if name in columns]
        tables = "all" if len(has) == len(shown) else ", ".join(grouped(has))
        cells = (f"`{column.word}`", f"`{name}`", column.unit, linked(column.meaning), tables)
        yield f"| {' | '.join(cells)} |"


def _measure(workload: str) -> Measure:
    kind, sizes = WORKLOADS[workload], (1 << 20,)
    return kind.measure(ExperimentConfig("star", 4, workload, sizes, ("devmem",), options=kind.options()))


def _section(file: File) -> list[str]:
    told = file.told or f"results.md#{file.name.replace('.', '')}"
    source = f"{file.record.__module__.replace('.', '/')}.py"
    words = f"What a row is: [{told.partition('#')[0]}](../{told}). In the sources: `{source}`."
    return [f"## {file.name}", "", words, "", *table("column", described(file.record)), ""]
