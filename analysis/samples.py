"""Reads samples.csv and checks it.

In: the file's bytes. Out: typed columns of its whole rows, and a sentence if it was cut short. Owns the
columns' names, types and ranges. A row is whole or it is no row: a file that ends in the middle of a line, as
one that a full disk ended, loses that line. Anything else that breaks the schema is refused by one sentence
that names the file, the line and the column.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.columns import STR, Types, read_columns
from analysis.measure import Measure
from analysis.results_error import ResultsError

NO_NIC = "-"
TEXT_COLUMNS = ("path", "workload", "type", "redop", "root", "host", "nic")
IDENTITY_COLUMNS = (
    "size_bytes", "count_elements", "in_place", "repetition", "iteration", "warmup", "rank", "nranks",
)  # fmt: skip
NULLABLE_COLUMNS = (
    "compute_s", "overlapped_s", "setup_s", "stalled_s",
    "operations", "latency_p50_us", "latency_p95_us", "latency_p99_us",
    "token_return_p50_us", "token_return_p95_us", "token_return_p99_us", "token_return_max_us",
    "wrong_elements", "checked_bytes", "payload_sent_bytes", "payload_received_bytes",
    "payload_staged_bytes", "payload_local_bytes", "payload_staged_received_bytes",
    "payload_far_bytes",
    "host_dram_read_bytes", "host_dram_write_bytes", "host_dram_derived_bytes",
    "device_read_bytes", "device_write_bytes", "pcie_switch_bytes", "pcie_root_bytes", "fabric_bytes",
    "header_host_dram_bytes", "header_host_dram_uncoalesced_bytes",
    "nic_host_write_bytes", "cpu_host_write_bytes",
    "rx_packets", "tx_packets", "rx_wire_packets", "tx_wire_packets", "rx_alloc_fail", "rx_hw_drops",
    "rx_hw_drop_overruns", "rx_pool_peak_share", "tcp_retrans_segs", "app_cpu_s", "app_system_cpu_s",
    "endpoint_cpu_s", "app_voluntary_switches", "app_involuntary_switches", "endpoint_voluntary_switches",
    "endpoint_involuntary_switches", "machine_steal_s", "machine_softirq_s", "start_s", "end_s",
)  # fmt: skip
COLUMNS = (*TEXT_COLUMNS, *IDENTITY_COLUMNS, "time_s", *NULLABLE_COLUMNS)
# What earlier versions did not write, and what is read instead: they had one rank a host, collectives only in
# place, no patterns, and told no more of ranks, page pools, context switches and what a cache changes.
LATER_COLUMNS = {
    "nic": NO_NIC, "payload_local_bytes": "0", "payload_far_bytes": "0", "fabric_bytes": "0", "in_place": "1",
    **dict.fromkeys(
        (
            "compute_s", "operations", "latency_p50_us", "latency_p95_us", "latency_p99_us", "overlapped_s",
            "token_return_p50_us", "token_return_p95_us", "token_return_p99_us", "token_return_max_us",
            "rx_hw_drops", "rx_hw_drop_overruns", "rx_pool_peak_share", "app_system_cpu_s",
            "machine_softirq_s", "payload_staged_received_bytes", "nic_host_write_bytes",
            "cpu_host_write_bytes", "app_voluntary_switches", "app_involuntary_switches",
            "endpoint_voluntary_switches", "endpoint_involuntary_switches", "setup_s", "stalled_s",
        ),
        "",
    ),
}  # fmt: skip
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name not in LATER_COLUMNS)
ITERATION_KEY = ["path", "size_bytes", "repetition", "iteration"]

LIMIT_BYTES = 1 << 30
_HEADER_BYTES = 1 << 16
_WORD_CHARACTERS = 64
_LARGEST = float(1 << 53)  # up to which a float holds every integer
_RANGES = {
    "time_s": (1e-9, 1e9),
    "warmup": (0.0, 1.0),
    "in_place": (0.0, 1.0),
    "rx_pool_peak_share": (0.0, 1.0),
    "machine_steal_s": (-_LARGEST, _LARGEST),  # Linux lets /proc/stat's count step back
}


_TYPES = Types(TEXT_COLUMNS, IDENTITY_COLUMNS, ("time_s",), NULLABLE_COLUMNS)


@dataclass(frozen=True)
class Samples:
    """`rows`: text columns as str, the others as float64 or int64, an empty cell as NaN. `cut`: what was left
    out of a shortened file, as a sentence, or None."""

    rows: pd.DataFrame
    cut: str | None = None


def read_samples(data: bytes, path: Path, measure: Measure, complete: bool) -> Samples:
    """The whole rows of `data`, which `path` held. Of a run that is not `complete` even the header may lack.
    Raises ResultsError."""
    if not complete and b"\n" not in data:
        return Samples(no_rows(path), f"{path.name} ends before its first row")
    found = _read_quickly(data, path)
    if found is None:
        lines, cut = _whole_lines(data, path)
        found = Samples(_read_carefully(lines, path), cut)
    _check_rows(found.rows, path, measure)
    return found


def _read_quickly(data: bytes, path: Path) -> Samples | None:
    """None for anything that no run writes but for a last line cut short: `_read_carefully` names it."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\n" not in data[:_HEADER_BYTES] or b'"' in data or b"\r" in data:
        return None
    end = data.rfind(b"\n") + 1
    last = data.rfind(b"\n", 0, end - 1) + 1
    cut = end < len(data)
    if not cut and last and data.count(b",", last) < data.count(b",", 0, data.find(b"\n")):
        end, cut = last, True
    rows = read_columns(data[:end], _TYPES)
    if rows is None or any(name not in rows for name in REQUIRED_COLUMNS):
        return None
    for name, word in LATER_COLUMNS.items():
        if name not in rows:
            rows[name] = word if name in TEXT_COLUMNS else float(word or "nan")
    # In their order, whole numbers as such.
    kinds = dict.fromkeys(IDENTITY_COLUMNS, "int64") | dict.fromkeys(TEXT_COLUMNS, STR)
    rows = rows[list(COLUMNS)].astype(kinds)
    if not _is_plain(rows):
        return None
    return Samples(rows, _cut(path, data.count(b"\n", 0, end) + 1) if cut else None)


def _is_plain(rows: pd.DataFrame) -> bool:
    """Whether all words are words, and all numbers in their range."""
    if not all(is_word(word) for name in TEXT_COLUMNS for word in rows[name].unique()):
        return False
    for name in COLUMNS:
        low, high = _RANGES.get(name, (0.0, _LARGEST))
        values = rows[name].to_numpy() if name not in TEXT_COLUMNS else np.zeros(0)
        # Of NaN alone, as of no value, there is neither.
        if len(values) and (np.fmin.reduce(values) < low or np.fmax.reduce(values) > high):
            return False
    return not rows["time_s"].isna().any()


def _read_carefully(lines: bytes, path: Path) -> pd.DataFrame:
    """The same, a line at a time. Raises ResultsError, which names the first line that is wrong."""
    try:
        raw = pd.read_csv(BytesIO(lines), dtype=str, keep_default_na=False, skip_blank_lines=False)
    except ValueError as error:
        said = " ".join(str(error).split())
        raise ResultsError(f"{path} is not a table ({said}); repeat the run") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in raw.columns]
    if missing:
        raise ResultsError(f"{path} lacks column {', '.join(missing)}; use the sources that made the run")
    later = {name: word for name, word in LATER_COLUMNS.items() if name not in raw.columns}
    return _typed(raw.assign(**later), path)


def no_rows(path: Path) -> pd.DataFrame:
    """A table with every column and no row."""
    return _typed(pd.DataFrame(columns=list(COLUMNS), dtype=str), path)


def _whole_lines(data: bytes, path: Path) -> tuple[bytes, str | None]:
    """All lines that have every cell, and what is said of the last one if it has not."""
    if b"\n" not in data[:_HEADER_BYTES]:
        raise ResultsError(f"{path} is not a table (it has no line); repeat the run")
    whole, _, rest = data.replace(b"\r\n", b"\n").rpartition(b"\n")
    lines = whole.rstrip(b"\n").split(b"\n")
    commas = lines[0].count(b",")
    if not rest and len(lines) > 1 and lines[-1].count(b",") < commas:
        rest = lines.pop()
    for number, line in enumerate(lines, start=1):
        # Neither is in what a run writes, and both would let a row end elsewhere than its line does.
        if b'"' in line or b"\r" in line:
            raise ResultsError(f"{path} line {number} has a quotation mark or a carriage return")
        if line.count(b",") != commas:
            raise ResultsError(
                f"{path} line {number} has {line.count(b',') + 1} cells, the header has {commas + 1}; "
                "restore the file or repeat the run"
            )
    return b"\n".join(lines) + b"\n", _cut(path, len(lines) + 1) if rest else None


def _cut(path: Path, number: int) -> str:
    return f"{path.name} ends in the middle of line {number}, which is left out"


def _check_rows(samples: pd.DataFrame, path: Path, measure: Measure) -> None:
    doubled = samples.duplicated([*ITERATION_KEY, "rank"])
    if doubled.any():
        first = samples.loc[doubled, [*ITERATION_KEY, "rank"]].iloc[0].to_dict()
        raise ResultsError(f"{path} has two rows for {first}; a row is one path, size, iteration and rank")
    divides = measure.size_is_key or measure.timed != "receivers"
    for name, bad in (
        ("size_bytes", (samples["size_bytes"] <= 0) & (not measure.size_is_key) & divides),
        ("nranks", samples["nranks"] < 1),
    ):
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise ResultsError(f"{path} line {line} has a {name} that is not above 0; repeat the run")


def _typed(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    columns: dict[str, pd.Series] = {}
    for name in COLUMNS:
        text = raw[name].str.strip()
        if name in TEXT_COLUMNS:
            columns[name] = _words(text, name, path).astype(STR)
            continue
        columns[name] = _numbers(text, name, path)
        if name in IDENTITY_COLUMNS:
            columns[name] = columns[name].astype("int64")
    return pd.DataFrame(columns)


def is_word(text: str) -> bool:
    """Whether `text` is one cell of a table that is read by its spaces, on any terminal."""
    return 0 < len(text) <= _WORD_CHARACTERS and text.isprintable() and " " not in text


def _words(text: "pd.Series[str]", name: str, path: Path) -> "pd.Series[str]":
    refused = {word for word in text.unique() if not is_word(word)}
    if refused:
        row = int(text.isin(refused).to_numpy().argmax())
        raise ResultsError(
            f"{path} line {row + 2} has {text.iloc[row][:80]!r} in column {name}, which takes a word of "
            f"at most {_WORD_CHARACTERS} characters"
        )
    return text


def _numbers(text: "pd.Series[str]", name: str, path: Path) -> "pd.Series[float]":
    empty = text == ""
    numbers = pd.to_numeric(text.where(~empty), errors="coerce").astype("float64")
    nullable = name in NULLABLE_COLUMNS
    _refuse(numbers.isna() & ~empty if nullable else numbers.isna(), text, path, (
        f"column {name}, which takes a number" + (" or an empty cell" if nullable else "")
    ))  # fmt: skip
    low, high = _RANGES.get(name, (0.0, _LARGEST))
    outside = (numbers < low) | (numbers > high)
    _refuse(outside, text, path, f"column {name}, which takes a number from {low:g} to {high:g}")
    if name in IDENTITY_COLUMNS:
        _refuse(numbers % 1 != 0, text, path, f"column {name}, which takes a whole number")
    return numbers


def _refuse(bad: "pd.Series[bool]", text: "pd.Series[str]", path: Path, where: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ResultsError(f"{path} line {row + 2} has {text.iloc[row][:80]!r} in {where}")
