"""Reads a results directory and checks it.

In: manifest.json, samples.csv and what lies beside them. Out: a checked `Run`. Owns which rows count, and the
check of the files against the manifest. All other files of analysis/ rely on columns being present, typed and
in their range.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import pandas as pd

from analysis import drawing as drawing_json
from analysis import manifest as manifest_json
from analysis import samples as samples_csv
from analysis.drawing import NAME as DRAWING
from analysis.drawing import Drawing, read_drawing
from analysis.ledger import NAME as LEDGER
from analysis.ledger import LedgerRow
from analysis.link_usage import NAME as LINK_USAGE
from analysis.link_usage import LinkUsage
from analysis.manifest import Config, Manifest, read_manifest
from analysis.measure import Measure
from analysis.memory_counters import NAME as MEMORY_COUNTERS
from analysis.memory_counters import MemoryUsage
from analysis.memory_model import AS_COUNTED, MemoryModel
from analysis.results_error import ResultsError
from analysis.rows import LIMIT_BYTES, read_rows
from analysis.run_directory import RunDirectory
from analysis.samples import ITERATION_KEY, Samples, no_rows, read_samples
from analysis.tcp_info import NAME as TCP_INFO
from analysis.tcp_info import TcpInfoRow
from analysis.usage import NAME as USAGE
from analysis.usage import Usage

_GROUPS = 10_000
_VALUES = 500_000  # of one path and size, of which a bootstrap draws in bounded memory

_Row = TypeVar("_Row", bound=msgspec.Struct)


@dataclass(frozen=True)
class Run:
    """One results directory, read and checked.

    `samples` has every whole row of samples.csv: text columns as str, the others as float64 or int64, an
    empty cell as NaN. `measured` has the rows that times are taken from: no warm-up rows, and no iteration in
    which a rank's row is missing or, where receivers are timed, no byte was received. A run that failed in
    the middle leaves such iterations; `incomplete_iterations` counts them. `damage` says what of samples.csv
    and the other files is not as the run wrote it, a sentence each. `usage`, `link_usage`, `drawing`,
    `tcp_info`, `ledger`, `memory_usage`: none of a run that recorded none. `memory_model`: by which the
    ledger's counts are read.
    """

    directory: RunDirectory
    manifest: Manifest
    config: Config
    samples: pd.DataFrame
    measured: pd.DataFrame
    incomplete_iterations: int
    damage: tuple[str, ...]
    usage: tuple[Usage, ...] = ()
    link_usage: tuple[LinkUsage, ...] = ()
    drawing: Drawing | None = None
    tcp_info: tuple[TcpInfoRow, ...] = ()
    ledger: tuple[LedgerRow, ...] = ()
    memory_usage: tuple[MemoryUsage, ...] = ()
    memory_model: MemoryModel = AS_COUNTED


def load(run_dir: Path, memory_model: MemoryModel = AS_COUNTED) -> Run:
    """Read `run_dir`; raise `ResultsError` on a missing file or column, an unknown schema or a bad value.

    A run that is not complete may lack samples.csv: it is read as one without rows.
    """
    directory = RunDirectory(run_dir)
    path = run_dir / "manifest.json"
    written = directory.read(path.name, manifest_json.LIMIT_BYTES)
    if written is None:
        raise ResultsError(f"{path} is missing; give a results directory that run.py wrote")
    manifest, config = read_manifest(written, path)
    samples, damage = _samples(directory, manifest)
    rows = samples.rows
    measured, incomplete = _complete_iterations(rows[rows["warmup"] == 0], manifest.measure)
    _check_amount(measured, manifest.measure, run_dir / "samples.csv")
    usage, of_usage = _rows(directory, USAGE, manifest, Usage)
    links, of_links = _rows(directory, LINK_USAGE, manifest, LinkUsage)
    drawing, of_drawing = _drawing(directory, manifest)
    info, of_info = _rows(directory, TCP_INFO, manifest, TcpInfoRow)
    ledger, of_ledger = _rows(directory, LEDGER, manifest, LedgerRow)
    memory, of_memory = _rows(directory, MEMORY_COUNTERS, manifest, MemoryUsage)
    damage = (*damage, *of_usage, *of_links, *of_drawing, *of_info, *of_ledger, *of_memory)
    recorded = usage, links, drawing, info, ledger, memory
    return Run(directory, manifest, config, rows, measured, incomplete, damage, *recorded, memory_model)


def _samples(directory: RunDirectory, manifest: Manifest) -> tuple[Samples, tuple[str, ...]]:
    path = directory.path / "samples.csv"
    complete = manifest.status == "complete"
    data = directory.read(path.name, samples_csv.LIMIT_BYTES)
    if data is None:
        if complete:
            raise ResultsError(f"{path} is missing although the run is recorded as complete; restore it")
        return Samples(no_rows(path)), ()
    samples = read_samples(data, path, manifest.measure, complete)
    return samples, (*([samples.cut] if samples.cut else []), *_changed(path.name, data, manifest))


def _rows(
    directory: RunDirectory, name: str, manifest: Manifest, kind: type[_Row]
) -> tuple[tuple[_Row, ...], tuple[str, ...]]:
    """Of a file that earlier versions did not write."""
    data = directory.read(name, LIMIT_BYTES)
    if data is None:
        return (), _gone(name, manifest)
    return tuple(read_rows(data, directory.path / name, kind)), _changed(name, data, manifest)


def _drawing(directory: RunDirectory, manifest: Manifest) -> tuple[Drawing | None, tuple[str, ...]]:
    data = directory.read(DRAWING, drawing_json.LIMIT_BYTES)
    if data is None:
        return None, _gone(DRAWING, manifest)
    return read_drawing(data, directory.path / DRAWING), _changed(DRAWING, data, manifest)


def _gone(name: str, manifest: Manifest) -> tuple[str, ...]:
    return (f"{name} is missing, which the run wrote",) if name in manifest.files else ()


def _changed(name: str, data: bytes, manifest: Manifest) -> tuple[str, ...]:
    recorded = manifest.files.get(name)
    if recorded is None or recorded == hashlib.sha256(data).hexdigest():
        return ()
    return (f"{name} is not the file that the run wrote: its SHA-256 is not the manifest's",)


def _check_amount(measured: pd.DataFrame, measure: Measure, path: Path) -> None:
    """What is drawn of the rows takes bounded time and memory. Raises ResultsError."""
    if measured.empty:
        return
    group = ["path", "size_bytes"] if measure.size_is_key else ["path"]
    per_repetition = measured.groupby([*group, "repetition"])["iteration"].nunique()
    of_group = per_repetition.groupby(level=group)
    values = of_group.max() * of_group.size()
    if len(values) > _GROUPS or values.max() > _VALUES:
        raise ResultsError(
            f"{path} has more than {_GROUPS} paths and sizes, or more than {_VALUES} iterations of one; "
            "divide the run"
        )


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
