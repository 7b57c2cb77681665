"""Reads a results directory and checks it.

In: manifest.json and samples.csv. Out: a checked `Run`. Owns the schema of both files, as far as they are
read. All other files of analysis/ rely on columns being present and typed. A file that breaks the schema is
refused here, by one sentence that names the file, the column and the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pandas as pd

from analysis import schema2
from analysis.measure import Measure

SCHEMA_VERSION = 3

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
    """A restriction of `path` that every table has to state: a `mark` of a word or two, and the sentence."""

    path: str
    mark: str
    text: str


class Config(msgspec.Struct, frozen=True):
    """The part of the run's configuration that analysis uses. Units are in the names."""

    topology: str | None = None
    hosts: int | None = None
    workload: str | None = None
    paths: tuple[str, ...] | None = None
    host_mem_bw_bytes_per_s: float | None = None


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json, schema version 3. Times are ISO 8601 in UTC; `files` maps a name to its SHA-256."""

    schema_version: int
    run_id: str
    status: Literal["running", "complete", "failed", "interrupted"]
    config: dict[str, object]
    measure: Measure
    error: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    argv: list[str] = []
    environment: dict[str, object] = {}
    versions: dict[str, str | None] = {}
    git: Git | None = None
    notes: list[PathNote] = []
    files: dict[str, str] = {}


class _WithConfig(msgspec.Struct, frozen=True):
    config: Config


@dataclass(frozen=True)
class Run:
    """One results directory, read and checked.

    `samples` has every row of samples.csv: text columns as str, the others as float64 or int64, an empty
    cell as NaN. `measured` has the rows that times are taken from: no warm-up rows, and no iteration in which
    a rank's row is missing or, where receivers are timed, no byte was received. A run that failed in the
    middle leaves such iterations; `incomplete_iterations` counts them.
    """

    directory: Path
    manifest: Manifest
    config: Config
    samples: pd.DataFrame
    measured: pd.DataFrame
    incomplete_iterations: int


def load(run_dir: Path) -> Run:
    """Read `run_dir`; raise `ResultsError` on a missing file or column, an unknown schema or a bad value.

    A run that is not complete may lack samples.csv: it is read as one without rows.
    """
    manifest, config = _manifest(run_dir / "manifest.json")
    measure = manifest.measure
    path = run_dir / "samples.csv"
    if path.is_file():
        samples = _samples(path, measure)
    elif manifest.status == "complete":
        raise ResultsError(f"{path} is missing although the run is recorded as complete; restore it")
    else:
        samples = _typed(pd.DataFrame(columns=list(REQUIRED_COLUMNS), dtype=str), path)
    measured, incomplete = _complete_iterations(samples[samples["warmup"] == 0], measure)
    return Run(run_dir, manifest, config, samples, measured, incomplete)


def _manifest(path: Path) -> tuple[Manifest, Config]:
    if not path.is_file():
        raise ResultsError(f"{path} is missing; give a results directory that run.py wrote")
    try:
        document = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ResultsError(f"{path} is not JSON ({error}); restore it or repeat the run") from error
    version = document.get("schema_version") if isinstance(document, Mapping) else None
    if version not in (2, SCHEMA_VERSION):
        raise ResultsError(
            f"{path} has schema_version {version!r}, this analysis reads 2 and {SCHEMA_VERSION}; "
            "use the sources that made the run"
        )
    try:
        current = schema2.upgraded(document) if version == 2 else document
        return msgspec.convert(current, Manifest), msgspec.convert(current, _WithConfig).config
    except ValueError as error:
        raise ResultsError(f"{path} breaks its schema: {error}; repeat the run") from error


def _samples(path: Path, measure: Measure) -> pd.DataFrame:
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
    for name, bad in (
        ("time_s", samples["time_s"] <= 0),
        ("size_bytes", (samples["size_bytes"] <= 0) & measure.size_is_key),
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


def _complete_iterations(rows: pd.DataFrame, measure: Measure) -> tuple[pd.DataFrame, int]:
    if rows.empty:
        return rows, 0
    # Where the size is a result, the ranks of one iteration may have moved different sizes.
    names = ITERATION_KEY if measure.size_is_key else [name for name in ITERATION_KEY if name != "size_bytes"]
    keys = [rows[name] for name in names]
    partial = rows.groupby(keys)["rank"].transform("nunique") < measure.ranks
    if measure.timed == "receivers":
        received = rows["payload_received_bytes"].groupby(keys).transform("sum")
        partial |= ~(received > 0)  # of which no rate follows
    incomplete = int(rows[partial].groupby([key[partial] for key in keys]).ngroups) if partial.any() else 0
    return rows[~partial], incomplete
