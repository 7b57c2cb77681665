"""A run as tidy pandas frames: what notebooks work with.

In: a results directory. Out: `Frames`. Owns nothing: analysis/load.py reads and checks the files, and the
frames have its columns, which docs/reference/columns.md explains. An empty cell is NaN or None.
"""

import html
import shlex
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from analysis import nics
from analysis.ledger import HostMemoryRow, LedgerRow, host_memory_rows
from analysis.link_usage import LinkUsage, Use, uses
from analysis.load import Run, load
from analysis.memory_counters import MemoryUsage
from analysis.operations import NAME as OPERATIONS
from analysis.operations import OperationRow
from analysis.processes import ProcessRow, process_rows
from analysis.rows import LIMIT_BYTES, read_rows
from analysis.summary import SummaryRow, summarise, to_frame
from analysis.table import table_text
from analysis.tcp_info import TcpInfoRow
from analysis.usage import Usage


@dataclass(frozen=True)
class Frames:
    """One run. Each frame is made when it is asked for first; one of a file that the run did not write has
    its columns and no row. `run` has all that is no table: manifest, configuration, damage."""

    run: Run

    @cached_property
    def rows(self) -> tuple[SummaryRow, ...]:
        """The summary as records, which the figures are drawn of."""
        return summarise(self.run)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row for each path, size and place: medians, intervals, bytes per payload byte, the verdict."""
        return to_frame(self.rows)

    @property
    def samples(self) -> pd.DataFrame:
        """A row for each iteration of each rank, warm-up included: samples.csv."""
        return self.run.samples

    @property
    def measured(self) -> pd.DataFrame:
        """Those rows of `samples` that times are taken from: no warm-up, whole iterations only."""
        return self.run.measured

    @cached_property
    def usage(self) -> pd.DataFrame:
        """A row for each process, core and link with a rate in each trial: usage.csv."""
        return _frame(self.run.usage, Usage)

    @cached_property
    def links(self) -> pd.DataFrame:
        """A row for each direction of each link on each path, at the path's largest size: `rate_bps`, and
        `share` of what was asked."""
        found = uses(self.run.link_usage)
        names = [*Use.__dataclass_fields__, "share"]
        return pd.DataFrame([[getattr(use, name) for name in names] for use in found], columns=names)

    @cached_property
    def link_usage(self) -> pd.DataFrame:
        """A row for each direction of each link in each trial: link_usage.csv."""
        return _frame(self.run.link_usage, LinkUsage)

    @cached_property
    def nics(self) -> pd.DataFrame:
        """A row for each path, size and NIC: bytes over PCIe, beside the closed form: nics.csv."""
        names = list(nics.NicRow.__dataclass_fields__)
        found = nics.nic_rows(self.run)
        return pd.DataFrame([[getattr(row, name) for name in names] for row in found], columns=names)

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """A row for each host and interval of each trial: bytes by route, page pools: ledger.csv."""
        return _frame(self.run.ledger, LedgerRow)

    @cached_property
    def host_memory(self) -> pd.DataFrame:
        """The same intervals as GB/s and bytes per payload byte, modelled: host_memory.csv."""
        found = host_memory_rows(self.run.ledger, self.run.memory_model)
        return pd.DataFrame([astuple(row) for row in found], columns=list(HostMemoryRow.__dataclass_fields__))

    @cached_property
    def processes(self) -> pd.DataFrame:
        """A row for each path, size and process: CPU seconds and context switches per GB: processes.csv."""
        found = process_rows(self.run)
        return pd.DataFrame([astuple(row) for row in found], columns=list(ProcessRow.__dataclass_fields__))

    @cached_property
    def memory_counters(self) -> pd.DataFrame:
        """What the machine's own memory moved in each trial, where it tells: memory_counters.csv."""
        return _frame(self.run.memory_usage, MemoryUsage)

    @cached_property
    def tcp_info(self) -> pd.DataFrame:
        """A row for each sample of each sending connection, of a run with --tcp-info: tcp_info.csv."""
        return _frame(self.run.tcp_info, TcpInfoRow)

    @cached_property
    def operations(self) -> pd.DataFrame:
        """A row for each node of each rank's trace in each measured iteration, of a run with --operations:
        operations.csv, without the nodes' names."""
        path = self.run.directory.path / OPERATIONS
        data = self.run.directory.read(OPERATIONS, LIMIT_BYTES)
        return _frame(() if data is None else read_rows(data, path, OperationRow), OperationRow)

    @cached_property
    def faults(self) -> pd.DataFrame:
        """A row for each thing that was hurt or healed on purpose."""
        columns = ["fault", "action", "asked_s", "actual_s", "time_s"]
        found = self.run.manifest.faults
        return pd.DataFrame([[getattr(step, name) for name in columns] for step in found], columns=columns)

    @property
    def table(self) -> str:
        """The table that the run printed."""
        return table_text(self.run, self.rows)

    @property
    def command(self) -> str:
        """The command line that repeats the run, as a user would write it."""
        return shlex.join(["python3", "run.py", *options(self.run.manifest.argv)])

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.manifest.run_id

    def __repr__(self) -> str:
        return self.table

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the table, whose lines are not folded."""
        style = "white-space: pre; overflow-x: auto; font-family: monospace; font-size: 85%"
        return f'<pre style="{style}">{html.escape(self.table)}</pre>'


def frames(run_dir: Path) -> Frames:
    """Read `run_dir`; raises ResultsError as analysis.load.load."""
    return Frames(load(run_dir))


def options(argv: Sequence[str]) -> list[str]:
    """The words of a run's command line that say what was measured: not the program, nor where results go,
    nor what is printed."""
    words, kept = iter(argv[1:] if argv and argv[0].endswith(".py") else argv), list[str]()
    for word in words:
        if word in ("--run-id", "--results"):
            next(words, None)
        elif word != "--json" and not word.startswith(("--run-id=", "--results=")):
            kept.append(word)
    return kept


def _frame(rows: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> pd.DataFrame:
    columns = list(kind.__struct_fields__)
    return pd.DataFrame([msgspec.structs.astuple(row) for row in rows], columns=columns)
