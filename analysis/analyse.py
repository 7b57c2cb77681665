"""From data files to everything that is drawn of them.

In: a results directory's data files. Out: summary.csv, figures/*.png, report.html. Owns their order.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.load import load
from analysis.plots import draw
from analysis.report import write_report
from analysis.summary import summarise, to_frame, write_csv
from analysis.table import table_text, wrong_elements


@dataclass(frozen=True)
class Analysis:
    """The outcome of a run. `wrong_elements` counts every row, so a run is good only if it is 0."""

    summary: pd.DataFrame
    table_text: str
    report_path: Path
    figure_paths: tuple[Path, ...]
    wrong_elements: int


def analyse(run_dir: Path) -> Analysis:
    """Draw everything anew from manifest.json and samples.csv in `run_dir`; ResultsError if they are bad.

    A failed or interrupted run is analysed as far as it came and shown as what it is.
    """
    run = load(run_dir)
    summary = summarise(run)
    write_csv(summary, run_dir / "summary.csv")
    figures = draw(run, summary, run_dir / "figures")
    report = write_report(run, summary, figures)
    return Analysis(
        to_frame(summary),
        table_text(run, summary),
        report,
        tuple(figure.path for figure in figures),
        wrong_elements(run),
    )
