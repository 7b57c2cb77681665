"""Runs all trials of an experiment and writes samples.csv and the files beside it, a trial at a time.

In: the configuration, the ranks, what measures a trial. Out: rows appended to the files after every trial,
what the ranks did if that is kept, progress on stderr. Owns the order of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from workloads.experiment.ledger_series import Began, LedgerRow, ledger_rows
from workloads.experiment.link_usage import LinkUsage
from workloads.experiment.memory_usage import MemoryUsage
from workloads.experiment.meter import Meter
from workloads.experiment.operations import OperationsFiles
from workloads.experiment.plan import trials
from workloads.experiment.ray_protocol import Rows
from workloads.experiment.records import ExperimentConfig, Sample, Trial
from workloads.experiment.rows_file import RowsFile
from workloads.experiment.tcp_info import TcpInfoSample
from workloads.experiment.usage import Usage, windows
from workloads.measure import Measure
from workloads.registry import workload_of


class Ranks(Protocol):
    """All ranks, on Ray (ray_session, cluster_session) or in a simulation (simulated_ranks)."""

    def run(self, trial: Trial, /) -> Rows:
        """One trial on all of them."""

    def close_ranks(self) -> None: ...


class Live(Protocol):
    """What tells how far a trial has come while it runs."""

    def begin(self, trial: Trial, show: Callable[[str], None], /) -> None:
        """`show` takes what there is to tell."""

    def end(self) -> None: ...


def run_trials(
    config: ExperimentConfig,
    ranks: Ranks,
    meter: Meter,
    run_dir: Path,
    began: Began | None = None,
    live: Live | None = None,
) -> None:
    """Run all trials on ranks that have started. `began`: when, by the ranks' clock; None: now, by this
    machine's. Raises SamplesError and what `ranks` and `meter` raise."""
    plan = trials(config)
    measure, began = workload_of(config).measure(config), began or Began.now()
    with (
        RowsFile(run_dir / "samples.csv", Sample) as file,
        RowsFile(run_dir / "usage.csv", Usage) as used,
        RowsFile(run_dir / "link_usage.csv", LinkUsage) as links,
        RowsFile(run_dir / "ledger.csv", LedgerRow) as ledgers,
        RowsFile(run_dir / "memory_counters.csv", MemoryUsage) as memory,
        OperationsFiles(run_dir, config) as done,
        ExitStack() as stack,
        _bar() as bar,
    ):
        sampled = config.tcp_info_s is not None
        info = stack.enter_context(RowsFile(run_dir / "tcp_info.csv", TcpInfoSample)) if sampled else None
        task = bar.add_task(config.workload, total=len(plan), figure="")
        for trial in plan:
            bar.update(task, description=f"{config.workload} {trial.path} {trial.size_bytes} B")
            if live is not None:
                live.begin(trial, lambda words: bar.update(task, figure=words))
            with meter.measuring():
                rows = ranks.run(trial)
            if live is not None:
                live.end()
            file.append(rows.samples)
            done.append(trial, rows.operations)
            if info is not None:
                info.append(rows.tcp_info)
            found = meter.used(trial, rows.samples)
            used.append(found.usage)
            links.append(found.links)
            memory.append(found.memory)
            ledgers.append(ledger_rows(trial, rows.samples, rows.readings, began))
            bar.update(task, advance=1, figure=figure(rows.samples, measure))
    ranks.close_ranks()


def _bar() -> Progress:
    """Shown on a terminal alone."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figure]}"),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def figure(samples: Sequence[Sample], measure: Measure) -> str:
    """What a trial's measured rows come to, in a word; analysis/ says it exactly."""
    measured = [row for row in samples if not row.warmup]
    if measure.timed == "receivers":
        rates = [row.payload_received_bytes / row.time_s for row in measured if row.payload_received_bytes]
        return f"{8 * fmean(rates) / 1e9:.3f} Gbit/s" if rates else ""
    if not measured:
        return ""
    took_s = _took_s(measured, measure)
    if not measure.bandwidth_factor:
        return f"{1e6 * took_s:.1f} us"
    return f"{measure.bandwidth_factor * measured[0].size_bytes / took_s / 1e9:.3f} GB/s"


def _took_s(measured: Sequence[Sample], measure: Measure) -> float:
    """Mean over the iterations."""
    if measure.timed == "mean":
        return fmean(row.time_s for row in measured)
    return fmean(end - start for start, end in windows(measured))
