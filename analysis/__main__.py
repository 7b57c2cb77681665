"""The command `python -m analysis`: draws the results of a run again.

In: a results directory on the command line. Out: its table on stdout, everything else redrawn; exit status 0,
1 when values were wrong, 2 with one sentence when there is nothing to draw, a file cannot be written or the
arguments are wrong. Owns nothing.
"""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from analysis.analyse import analyse
from analysis.memory_model import MemoryModel
from analysis.results_error import ResultsError
from analysis.wide_table import ColumnError, asked_columns

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def redraw(
    run_dir: Annotated[Path, typer.Argument(help="A results directory: results/<run id>.")],
    columns: Annotated[str, typer.Option(help="Of the table, comma-separated, or all.")] = "",
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the tables as Parquet files, too; needs pyarrow.")
    ] = False,
    rfo: Annotated[
        bool, typer.Option("--rfo", help="The CPU reads what it writes: read-for-ownership.")
    ] = False,
    ddio: Annotated[
        float, typer.Option(help="Share of NICs' writes that stay in the cache.", min=0, max=1)
    ] = 0.0,
) -> int:
    """Redraw table, summary.csv, figures and report.html from the data files alone.

    Host memory is drawn as the ledger counts it, or with a cache between: see docs/host-memory.md.
    """
    analysis = analyse(run_dir, asked_columns(columns) if columns else (), parquet, MemoryModel(rfo, ddio))
    print(analysis.table_text, end="")
    if analysis.unwritten:
        raise OSError("; ".join(analysis.unwritten))
    print(f"# Report: {analysis.report_path}")
    return int(bool(analysis.wrong_elements))


def main() -> int:
    try:
        return int(app(standalone_mode=False) or 0)
    except typer.TyperException as wrong:
        sentence = wrong.format_message()
    except (ResultsError, OSError, ColumnError) as error:
        sentence = str(error)
    with suppress(OSError):  # a log on a full disk changes no status
        print(f"analysis: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
