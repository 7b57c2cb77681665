"""From data files to everything that is drawn of them.

In: a results directory's data files. Out: summary.csv and other tables, figures, report.html, Parquet files.
Owns their order. A file that cannot be written costs that file: what was measured is shown all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import ledger, nics, processes
from analysis.ledger import HOST_MEMORY
from analysis.load import load
from analysis.memory_model import AS_COUNTED, MemoryModel
from analysis.nics import NICS
from analysis.parquet import write_parquet
from analysis.plots import draw
from analysis.processes import PROCESSES
from analysis.report import write_report
from analysis.report_files import REPORT, SUMMARY
from analysis.summary import SummaryRow, csv_text, run_verdict, summarise, to_frame
from analysis.table import table_text, wrong_elements
from analysis.wide_table import body_of


@dataclass(frozen=True)
class Analysis:
    """The outcome of a run. `wrong_elements` counts every row, so a run is good only if it is 0. `verdict`:
    the worst of all `rows`. `unwritten`: why a file could not be written, a sentence each."""

    rows: tuple[SummaryRow, ...]
    summary: pd.DataFrame
    table_text: str
    report_path: Path
    figure_paths: tuple[Path, ...]
    wrong_elements: int
    verdict: str
    unwritten: tuple[str, ...]


def analyse(
    run_dir: Path,
    columns: Sequence[str] = (),
    parquet: bool = False,
    memory_model: MemoryModel = AS_COUNTED,
) -> Analysis:
    """Draw everything anew from the data files in `run_dir`; ResultsError if they are bad. `parquet`: write
    the tables as such files, too. `memory_model`: by which the ledger's counts are read.

    `columns`: of the table, as analysis.wide_table.asked_columns gives them; none: those of the workload.
    A failed or interrupted run is analysed as far as it came and shown as what it is.
    """
    run = load(run_dir, memory_model)
    summary = summarise(run)
    unwritten = []
    for name, text in (
        (SUMMARY, csv_text(summary)),
        (NICS, nics.csv_text(nics.nic_rows(run))),
        (HOST_MEMORY, ledger.csv_text(run.ledger, memory_model)),
        (PROCESSES, processes.csv_text(processes.process_rows(run))),
    ):
        try:
            run.directory.write(name, text.encode("utf-8"))
        except OSError as failure:
            unwritten.append(_sentence(failure))
    if parquet:
        try:
            write_parquet(run, summary)
        except OSError as failure:
            unwritten.append(_sentence(failure))
    figures = draw(run, summary)
    try:
        write_report(run, summary, figures)
    except OSError as failure:
        unwritten.append(_sentence(failure))
    return Analysis(
        summary,
        to_frame(summary),
        table_text(run, summary, figures.failed, body_of(columns) if columns else None),
        run_dir / REPORT,
        tuple(figure.path for figure in figures.drawn),
        wrong_elements(run),
        run_verdict(summary).word,
        tuple(unwritten),
    )


def _sentence(failure: OSError) -> str:
    return f"{failure.filename} cannot be written ({failure.strerror})"
