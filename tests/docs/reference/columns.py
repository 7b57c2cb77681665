"""docs/reference/columns.md: each column of each file that a run writes.

In: the records that become rows. Out: the page's text. Owns which record is which file's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from analysis.ledger import HostMemoryRow
from analysis.nics import NicRow
from analysis.processes import ProcessRow
from analysis.summary_row import SummaryRow
from tests.docs.reference.definition import described, table
from workloads.experiment.ledger_series import LedgerRow
from workloads.experiment.link_usage import LinkUsage
from workloads.experiment.memory_usage import MemoryUsage
from workloads.experiment.records import Operation
from workloads.experiment.sample import Sample
from workloads.experiment.tcp_info import TcpInfoSample
from workloads.experiment.usage import Usage
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
modelled, and has the [columns of the printed table](../results.md#the-table).

`.venv/bin/python -m tests.docs.reference` makes this page from the records that become rows; a test
compares the two.
"""


def text() -> str:
    return "\n".join([_HEAD, *(line for file in FILES for line in _section(file))])


def _section(file: File) -> list[str]:
    told = file.told or f"results.md#{file.name.replace('.', '')}"
    source = f"{file.record.__module__.replace('.', '/')}.py"
    words = f"What a row is: [{told.partition('#')[0]}](../{told}). In the sources: `{source}`."
    return [f"## {file.name}", "", words, "", *table("column", described(file.record)), ""]
