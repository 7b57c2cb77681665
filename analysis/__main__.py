"""In: a results directory on the command line. Out: its table on stdout, everything else redrawn."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.analyse import analyse
from analysis.load import ResultsError


def main(
    run_dir: Annotated[Path, typer.Argument(help="A results directory: results/<run id>.")],
) -> None:
    """Redraw table, summary.csv, figures and report.html from manifest.json and samples.csv alone."""
    try:
        analysis = analyse(run_dir)
    except (ResultsError, OSError) as error:
        print(f"analysis: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    print(analysis.table_text, end="")
    print(f"# Report: {analysis.report_path}")
    if analysis.wrong_elements:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
