"""In: a results directory (manifest.json, samples.csv). Out: a checked `Run`. Owns the schema of both files.

Everything after this file may rely on columns being present and typed; a file that breaks the schema is
refused here, by one sentence that names the file, the column and the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pandas as pd

SCHEMA_VERSION = 2
STREAM = "stream"

TEXT_COLUMNS = ("path", "workload", "type", "redop", "root", "host")
IDENTITY_COLUMNS = ("size_bytes", "count_elements", "repetition", "iteration", "warmup", "rank", "nranks")
NULLABLE_COLUMNS = (
    "wrong_elements", "checked_bytes", "payload_sent_bytes", "payload_received_bytes",
    "payload_staged_bytes", "host_dram_read_bytes", "host_dram_write_bytes", "host_dram_derived_bytes",
    "device_read_bytes", "device_write_bytes", "pcie_switch_bytes", "pcie_root_bytes",
    "header_host_dram_bytes", "header_host_dram_uncoalesced_bytes",
    "rx_packets", "tx_packets", "rx_wire_packets", "tx_wire_packets", "rx_alloc_fail", "tcp_retrans_segs",
    "app_cpu_s", "endpoint_cpu_s", "machine_steal_s", "start_s", "end_s",
)  # fmt: skip
REQUIRED_COLUMNS = (*TEXT_COLUMNS, *IDENTITY_COLUMNS, "time_s", *NULLABLE_COLUMNS)
ITERATION_KEY = ["path", "size_bytes", "repetition", "iteration"]


class ResultsError(ValueError):
    """A results directory that cannot be read; the message names the file, the value and the remedy."""


class Git(msgspec.Struct, frozen=True):
    """The sources a run was made from."""

    commit: str
    dirty: bool


class PathNote(msgspec.Struct, frozen=True):
    """What every table must say of `path`: a `mark` of a word or two beside its name, and the sentence."""

    path: str
    mark: str
    text: str


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json, schema version 2. Times are ISO 8601 in UTC; `files` maps a name to its SHA-256."""

    schema_version: int
    run_id: str
    status: Literal["running", "complete", "failed", "interrupted"]
    config: dict[str, object]
    error: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    argv: list[str] = []
    environment: dict[str, object] = {}
    versions: dict[str, str | None] = {}
    git: Git | None = None
    notes: list[PathNote] = []
    files: dict[str, str] = {}


@dataclass(frozen=True)
class Run:
    """One results directory, read and checked.

    `samples` has every row of samples.csv: text columns as str, the others as float64 or int64, an empty
    cell as NaN. `measured` has what times are taken from: no warm-up rows, and no iteration of which a
    rank's row or a stream's every byte is missing (a run that failed in the middle leaves such);
    `incomplete_iterations` counts those.
    """

    directory: Path
    manifest: Manifest
    samples: pd.DataFrame
    measured: pd.DataFrame
    incomplete_iterations: int


def load(run_dir: Path) -> Run:
    """Read `run_dir`; raise `ResultsError` on a missing file or column, an unknown schema or a bad value.

    A run that is not complete may lack samples.csv: it is read as one without rows.
    """
    manifest = _manifest(run_dir / "manifest.json")
    path = run_dir / "samples.csv"
    if path.is_file():
        samples = _samples(path)
    elif manifest.status == "complete":
        raise ResultsError(f"{path} is missing although the run is recorded as complete; restore it")
    else:
        samples = _typed(pd.DataFrame(columns=list(REQUIRED_COLUMNS), dtype=str), path)
    measured, incomplete = _complete_iterations(samples[samples["warmup"] == 0])
    return Run(run_dir, manifest, samples, measured, incomplete)


def _manifest(path: Path) -> Manifest:
    if not path.is_file():
        raise ResultsError(f"{path} is missing; give a results directory that run.py wrote")
    try:
        document = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ResultsError(f"{path} is not JSON ({error}); restore it or repeat the run") from error
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has schema_version {version!r}, this analysis reads {SCHEMA_VERSION}; "
            "use the sources that made the run"
        )
    try:
        return msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise ResultsError(f"{path} breaks its schema: {error}; repeat the run") from error


def _samples(path: Path) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ResultsError(f"{path} is not a table ({error}); repeat the run") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in raw.columns]
    if missing:
        raise ResultsError(f"{path} lacks column {', '.join(missing)}; use the sources that made the run")
    samples = _typed(raw, path)
    doubled = samples.duplicated([*ITERATION_KEY, "rank"])
    if doubled.any():
        first = samples.loc[doubled, [*ITERATION_KEY, "rank"]].iloc[0].to_dict()
        raise ResultsError(f"{path} has two rows for {first}; a row is one path, size, iteration and rank")
    collective = samples["workload"] != STREAM
    for name, bad in (
        ("time_s", samples["time_s"] <= 0),
        ("size_bytes", (samples["size_bytes"] <= 0) & collective),
        ("nranks", samples["nranks"] < 1),
    ):
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise ResultsError(f"{path} line {line} has a {name} that is not above 0; repeat the run")
    return samples


def _typed(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {}
    for name in REQUIRED_COLUMNS:
        text = raw[name].str.strip()
        if name in TEXT_COLUMNS:
            columns[name] = text
            continue
        columns[name] = _numbers(text, name, path)
        if name in IDENTITY_COLUMNS:
            columns[name] = columns[name].astype("int64")
    return pd.DataFrame(columns)


def _numbers(text: "pd.Series[str]", name: str, path: Path) -> "pd.Series[float]":
    empty = text == ""
    numbers = pd.to_numeric(text.where(~empty), errors="coerce").astype("float64")
    nullable = name in NULLABLE_COLUMNS
    bad = numbers.isna() & ~empty if nullable else numbers.isna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ResultsError(
            f"{path} line {row + 2} has {text.iloc[row]!r} in column {name}, which takes a number"
            + (" or an empty cell" if nullable else "")
        )
    return numbers


def _complete_iterations(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    if rows.empty:
        return rows, 0
    # A stream's ranks may have moved different sizes, so the size does not name its iteration.
    size = rows["size_bytes"].where(rows["workload"] != STREAM, 0)
    keys = [rows["path"], rows["workload"], size, rows["repetition"], rows["iteration"]]
    ranks_present = rows.groupby(keys)["rank"].transform("nunique")
    ranks_expected = rows["nranks"].where(rows["workload"] != STREAM, 2)
    arrived = rows["payload_received_bytes"].groupby(keys).transform("sum")
    # A stream of which nothing arrived has no goodput.
    partial = (ranks_present < ranks_expected) | ((rows["workload"] == STREAM) & ~(arrived > 0))
    incomplete = int(rows[partial].groupby([key[partial] for key in keys]).ngroups) if partial.any() else 0
    return rows[~partial], incomplete
