"""The tables of a run as Parquet files, for those who read them by other programs than a spreadsheet.

In: a run and its summary. Out: samples.parquet and its like beside the CSV files: the same columns with their
types, an unknown value as null. Owns the files' names. pyarrow is an extra, and is imported when it is asked
for.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from io import BytesIO

import msgspec
import pandas as pd

from analysis.link_usage import LinkUsage
from analysis.load import Run
from analysis.manifest import SCHEMA_VERSION
from analysis.nics import NicRow, nic_rows
from analysis.results_error import ResultsError
from analysis.summary import SummaryRow, to_frame
from analysis.usage import Usage

SUFFIX = ".parquet"


def check_installed() -> None:
    """Raises ResultsError without pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ResultsError(
            "--parquet needs the Python package pyarrow, which is not installed; add it "
            "(`.venv/bin/pip install pyarrow`), or leave --parquet out"
        )


def write_parquet(run: Run, summary: Sequence[SummaryRow]) -> None:
    """Raises ResultsError without pyarrow, and OSError."""
    check_installed()
    import pyarrow
    from pyarrow import parquet

    for name, frame in _tables(run, summary):
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        known = {"schema_version": str(SCHEMA_VERSION), "run_id": run.manifest.run_id}
        file = BytesIO()
        parquet.write_table(table.replace_schema_metadata(known), file)
        run.directory.write(f"{name}{SUFFIX}", file.getvalue())


def _tables(run: Run, summary: Sequence[SummaryRow]) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "samples", run.samples
    yield "summary", to_frame(summary)
    nics = [field.name for field in fields(NicRow)]
    yield "nics", pd.DataFrame([asdict(row) for row in nic_rows(run)], columns=nics)
    for name, kind, rows in (("usage", Usage, run.usage), ("link_usage", LinkUsage, run.link_usage)):
        columns = list(kind.__struct_fields__)
        yield name, pd.DataFrame([msgspec.structs.asdict(row) for row in rows], columns=columns)
