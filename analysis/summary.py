"""One row a path, size and place: what tables, figures and report show.

In: a loaded `Run`. Out: `SummaryRow`s, and summary.csv. Owns the summary's columns. Times come from complete,
timed iterations only. Wrong values are counted in warm-up iterations too: wrong data is wrong at any time.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from io import StringIO
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.bandwidth import GB, directions, seconds_per_byte
from analysis.fidelity import Conditions, Verdict, of_trial, worst
from analysis.host_memory import added, host_memory, memory_columns, payload_bytes, per, total
from analysis.load import Run
from analysis.measure import Measure
from analysis.processes import measured_dram, switch_columns
from analysis.statistics import Estimate, Ratio, Repetitions, estimate, ratio
from analysis.usage import Usage

_NUMBER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One path at one size, in place or not. Units are in the names; None where something was not recorded.

    Bandwidths are per direction; `both_ways_gbit_per_s` adds the directions of a goodput. ci_low and ci_high
    bound the 95 % interval of the median. `predicted_us`: if calibrated links were the only limit.
    `exposed_us` is the time in which the accelerator did not compute; latencies are of a pattern's
    operations. Bytes per payload byte are modelled, by the model that `rfo` and `ddio_share` tell; seconds,
    context switches and `measured_dram_bytes_per_payload_byte` are measured.
    `mark` is the path's restriction, which a table shows beside its name, '' if there is none.
    `verdict` says whether the row is the network's (analysis.fidelity), `verdict_reason` why.
    `checked_share` (0 to 1) of the received bytes were compared by content; None where the whole result
    always is. A ratio is this row's busbw over the named path's at the same size and place.
    """

    workload: str
    size_bytes: int
    count_elements: int
    type: str
    redop: str
    root: str
    in_place: bool
    path: str
    mark: str
    nranks: int
    repetitions: int
    iterations: int
    time_us: float
    predicted_us: float | None
    compute_us: float | None
    exposed_us: float | None
    operations_per_s: float | None
    latency_p50_us: float | None
    latency_p95_us: float | None
    latency_p99_us: float | None
    time_min_us: float
    time_max_us: float
    algbw_GB_per_s: float
    busbw_GB_per_s: float
    busbw_ci_low_GB_per_s: float | None
    busbw_ci_high_GB_per_s: float | None
    goodput_gbit_per_s: float | None
    both_ways_gbit_per_s: float | None
    wrong_elements: int | None
    checked_share: float | None
    host_dram_bytes_per_payload_byte: float | None
    host_dram_read_bytes_per_payload_byte: float | None
    host_dram_write_bytes_per_payload_byte: float | None
    host_dram_derived_share: float | None
    host_dram_expected_bytes_per_payload_byte: float | None
    host_dram_deviation_percent: float | None
    rfo: bool
    ddio_share: float
    header_bytes_per_payload_byte: float | None
    header_uncoalesced_bytes_per_payload_byte: float | None
    header_dram_bytes_per_wire_packet: float | None
    pcie_root_bytes_per_payload_byte: float | None
    busiest_host_payload_bytes: float | None
    cpu_s_per_GB: float | None
    app_cpu_s_per_GB: float | None
    endpoint_cpu_s_per_GB: float | None
    app_voluntary_switches_per_GB: float | None
    app_involuntary_switches_per_GB: float | None
    endpoint_voluntary_switches_per_GB: float | None
    endpoint_involuntary_switches_per_GB: float | None
    measured_dram_bytes_per_payload_byte: float | None
    steal_fraction_max: float | None
    tcp_retrans_segs: int | None
    rx_alloc_fail: int | None
    verdict: str
    verdict_reason: str
    busbw_ratio_to_bounce: float | None = None
    busbw_ratio_to_bounce_ci_low: float | None = None
    busbw_ratio_to_bounce_ci_high: float | None = None
    busbw_ratio_to_kernel: float | None = None
    busbw_ratio_to_kernel_ci_low: float | None = None
    busbw_ratio_to_kernel_ci_high: float | None = None

    @property
    def label(self) -> str:
        """The path with its mark."""
        return f"{self.path} ({self.mark})" if self.mark else self.path

    @property
    def word(self) -> str:
        """The same as one word, so that a line of a table has as many words whatever the mark."""
        return f"{self.path}({'-'.join(self.mark.split())})" if self.mark else self.path

    @property
    def derived(self) -> bool:
        """Whether part of the host DRAM figure was derived in closed form and not recorded."""
        return bool(self.host_dram_derived_share)


def summarise(run: Run) -> tuple[SummaryRow, ...]:
    """Rows by size, then by path in the order of the configuration, then out of place before in place; empty
    if no iteration is complete."""
    groups = dict(_groups(run))
    paces = {key: seconds_per_byte(rows, run.manifest.measure) for key, rows in groups.items()}
    summary = []
    for key, rows in groups.items():
        row = _row(run, rows, key.path, paces[key])
        for other in ("bounce", "kernel"):
            # A ratio of bandwidths is the inverse ratio of seconds a byte.
            row = _against(row, other, paces.get(key._replace(path=other)), paces[key])
        summary.append(row)
    return tuple(summary)


def to_frame(summary: Sequence[SummaryRow]) -> pd.DataFrame:
    """The rows as a DataFrame, a column a field."""
    names = [field.name for field in fields(SummaryRow)]
    return pd.DataFrame([astuple(row) for row in summary], columns=names)


def csv_text(summary: Sequence[SummaryRow]) -> str:
    """summary.csv: full precision, an empty cell where a value is unknown."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(SummaryRow)])
    writer.writerows(map(_cell, astuple(row)) for row in summary)  # csv writes None as an empty cell
    return text.getvalue()


def _cell(value: object) -> object:
    """A word that a spreadsheet would take for a formula begins with an apostrophe; a number stays one."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def compared(summary: Sequence[SummaryRow]) -> tuple[SummaryRow, ...]:
    """The rows that sentences and figures are of: one a path and size. Out of place comes first, as in
    nccl-tests' tables."""
    if any(not row.in_place for row in summary):
        return tuple(row for row in summary if not row.in_place)
    return tuple(summary)


def paths_of(summary: Sequence[SummaryRow]) -> tuple[str, ...]:
    """The paths that occur, in their order in the summary."""
    return tuple(words_of(summary))


def words_of(summary: Sequence[SummaryRow]) -> dict[str, str]:
    """The same, each with its word."""
    return {row.path: row.word for row in summary}


def run_verdict(summary: Sequence[SummaryRow]) -> Verdict:
    """The worst of all rows."""
    return worst(Verdict(row.verdict, row.verdict_reason) for row in summary)


def of_largest_size(summary: Sequence[SummaryRow], measure: Measure) -> tuple[SummaryRow, ...]:
    """The rows that paths are compared by: each path's at the largest size that all paths have, or its only
    row where the size is a result."""
    if not summary:
        return ()
    if not measure.size_is_key:
        return tuple(summary)
    sizes = [{row.size_bytes for row in summary if row.path == path} for path in paths_of(summary)]
    shared = set.intersection(*sizes)
    largest = max(shared) if shared else max(row.size_bytes for row in summary)
    return tuple(row for row in summary if row.size_bytes == largest)


class _Key(NamedTuple):
    size_bytes: int
    path: str
    in_place: bool


def _groups(run: Run) -> Iterator[tuple[_Key, pd.DataFrame]]:
    rows = run.measured
    paths = dict.fromkeys((*(run.config.paths or ()), *rows["path"].unique()))
    order = {path: place for place, path in enumerate(paths)}
    # Where the size is a result every row has another.
    key = rows["size_bytes"] * run.manifest.measure.size_is_key
    found = {
        _Key(int(str(size)), str(path), bool(in_place)): group
        for (size, path, in_place), group in rows.groupby([key, rows["path"], rows["in_place"]])
    }
    yield from sorted(found.items(), key=lambda item: item[0]._replace(path=f"{order[item[0].path]:3}"))


def _row(run: Run, rows: pd.DataFrame, path: str, pace: Repetitions) -> SummaryRow:
    first, measure = rows.iloc[0], run.manifest.measure
    spread = estimate(pace)
    steal = steal_fraction(rows, run.manifest.environment.get("cpu_count"))
    verdict = _verdict(run, rows, path, steal)
    size = round(float(rows["size_bytes"].median()))
    return SummaryRow(
        workload=str(first["workload"]),
        size_bytes=size,
        count_elements=round(float(rows["count_elements"].median())),
        type=str(first["type"]),
        redop=str(first["redop"]),
        root=str(first["root"]),
        in_place=bool(first["in_place"]),
        path=path,
        mark=", ".join(note.mark for note in run.manifest.notes if note.path == path),
        nranks=int(first["nranks"]),
        repetitions=len(pace),
        iterations=spread.count,
        time_us=spread.median * max(size, 1) * 1e6,
        predicted_us=_predicted_us(run, size),
        time_min_us=spread.minimum * max(size, 1) * 1e6,
        time_max_us=spread.maximum * max(size, 1) * 1e6,
        algbw_GB_per_s=min(size, 1) / spread.median / GB,
        busbw_GB_per_s=min(size, 1) * measure.bandwidth_factor / spread.median / GB,
        **_pattern_columns(rows),
        **_rate_columns(spread, measure, directions(rows, measure)),
        wrong_elements=_wrong(run, rows, path),
        checked_share=_checked_share(rows) if measure.checked == "sample" else None,
        **memory_columns(host_memory(rows, run.memory_model)),
        rfo=run.memory_model.rfo,
        ddio_share=run.memory_model.ddio,
        busiest_host_payload_bytes=_busiest_host(rows),
        **_cpu_columns(rows, path),
        **switch_columns(rows),
        measured_dram_bytes_per_payload_byte=measured_dram(run.memory_usage, path, _trial_sizes(run, rows)),
        steal_fraction_max=steal,
        tcp_retrans_segs=_count(rows, "tcp_retrans_segs"),
        rx_alloc_fail=_count(rows, "rx_alloc_fail"),
        verdict=verdict.word,
        verdict_reason=verdict.reason,
    )


def _predicted_us(run: Run, size: int) -> float | None:
    """Of that size; where the size is a result there is one prediction."""
    found = [
        each.time_s * 1e6
        for each in run.manifest.predictions
        if each.size_bytes == size or not run.manifest.measure.size_is_key
    ]
    return found[0] if found else None


def _verdict(run: Run, rows: pd.DataFrame, path: str, steal: float | None) -> Verdict:
    """The worst of the row's trials, a repetition each. A trial without usage is unknown."""
    off = [link for link in run.manifest.links if link.is_off]
    said = f"{off[0].sender} to {off[0].receiver} was not as asked before the run" if off else ""
    conditions = Conditions(said, steal, background=bool(run.manifest.traffic))
    sizes = _trial_sizes(run, rows)
    trials: dict[int, list[Usage]] = {int(each): [] for each in rows["repetition"].unique()}
    for used in run.usage:
        if used.path == path and used.repetition in trials and (sizes is None or used.size_bytes in sizes):
            trials[used.repetition].append(used)
    return worst(of_trial(used, conditions) for used in trials.values())


def _trial_sizes(run: Run, rows: pd.DataFrame) -> set[int] | None:
    """Of the rows' trials; None where the size is a result: all of the path are theirs."""
    return {int(rows["size_bytes"].iloc[0])} if run.manifest.measure.size_is_key else None


def _rate_columns(spread: Estimate, measure: Measure, directions: int) -> Mapping[str, float | None]:
    factor = measure.bandwidth_factor
    goodput = 8 / spread.median / GB if measure.rate == "goodput" else None
    return {
        "busbw_ci_low_GB_per_s": per(factor / GB, spread.high),
        "busbw_ci_high_GB_per_s": per(factor / GB, spread.low),
        "goodput_gbit_per_s": goodput,
        "both_ways_gbit_per_s": None if goodput is None else goodput * directions,
    }


def _pattern_columns(rows: pd.DataFrame) -> Mapping[str, float | None]:
    """Means over the ranks that compute, or that have operations, and then medians over the iterations."""
    computing = rows.dropna(subset=["compute_s"])
    asking = rows.dropna(subset=["operations"])
    exposed = (computing["time_s"] - computing["compute_s"]).clip(lower=0.0)
    rates = (asking["operations"] / asking["time_s"]).groupby(_iteration_of(asking)).sum()
    return {
        "compute_us": _median_us(computing["compute_s"], computing),
        "exposed_us": _median_us(exposed, computing),
        "operations_per_s": None if rates.empty else float(rates.median()),
        **{
            name: _median_us(asking[name] / 1e6, asking)
            for name in ("latency_p50_us", "latency_p95_us", "latency_p99_us")
        },
    }


def _median_us(seconds: "pd.Series[float]", rows: pd.DataFrame) -> float | None:
    means = seconds.groupby(_iteration_of(rows)).mean()
    return None if means.empty else 1e6 * float(means.median())


def _iteration_of(rows: pd.DataFrame) -> list["pd.Series[int]"]:
    return [rows["repetition"], rows["iteration"]]


def _cpu_columns(rows: pd.DataFrame, path: str) -> Mapping[str, float | None]:
    payload_GB = per(payload_bytes(rows), GB)
    app, endpoint = total(rows, "app_cpu_s"), total(rows, "endpoint_cpu_s")
    # On the kernel path the endpoint carries nothing; elsewhere an unknown share makes the sum unknown.
    cpu = app if path == "kernel" and endpoint is None else added(app, endpoint)
    return {
        "cpu_s_per_GB": per(cpu, payload_GB),
        "app_cpu_s_per_GB": per(app, payload_GB),
        "endpoint_cpu_s_per_GB": per(endpoint, payload_GB),
    }


def _against(row: SummaryRow, path: str, theirs: Repetitions | None, ours: Repetitions) -> SummaryRow:
    if theirs is None:
        return row
    found = Ratio(1.0, None, None) if row.path == path else ratio(theirs, ours)
    if path == "bounce":
        return replace(
            row,
            busbw_ratio_to_bounce=found.value,
            busbw_ratio_to_bounce_ci_low=found.low,
            busbw_ratio_to_bounce_ci_high=found.high,
        )
    return replace(
        row,
        busbw_ratio_to_kernel=found.value,
        busbw_ratio_to_kernel_ci_low=found.low,
        busbw_ratio_to_kernel_ci_high=found.high,
    )


def steal_fraction(rows: pd.DataFrame, cpu_count: object) -> float | None:
    """The worst repetition's stolen CPU time over all its CPU time (0 to 1); None if either is unknown.

    Summed over a repetition, because /proc/stat counts in hundredths of a second: too coarse for one
    iteration. Every rank reads the same machine's counter over its own start_s to end_s.
    """
    window = rows["end_s"] - rows["start_s"]
    if not isinstance(cpu_count, int) or not 1 <= cpu_count <= 1_000_000 or window.isna().any():
        return None
    if rows["machine_steal_s"].isna().any():
        return None
    seconds = pd.DataFrame({"steal": rows["machine_steal_s"], "window": window})
    sums = seconds.groupby(rows["repetition"]).sum()
    if (sums["window"] <= 0).any():
        return None
    return float(np.max(sums["steal"] / sums["window"])) / cpu_count


def _busiest_host(rows: pd.DataFrame) -> float | None:
    payload = rows["payload_sent_bytes"] + rows["payload_received_bytes"]
    if payload.isna().any():
        return None
    iteration = [rows["repetition"], rows["iteration"]]
    of_host = payload.groupby([*iteration, rows["host"]]).sum()
    return float(of_host.groupby(level=[0, 1]).max().mean())


def _wrong(run: Run, rows: pd.DataFrame, path: str) -> int | None:
    everything = run.samples[run.samples["path"] == path]
    if run.manifest.measure.size_is_key:
        everything = everything[everything["size_bytes"] == rows["size_bytes"].iloc[0]]
    everything = everything[everything["in_place"] == rows["in_place"].iloc[0]]
    checked = everything["wrong_elements"].dropna()
    return None if checked.empty else int(checked.sum())


def _checked_share(rows: pd.DataFrame) -> float | None:
    return per(total(rows, "checked_bytes"), total(rows, "payload_received_bytes"))


def _count(rows: pd.DataFrame, column: str) -> int | None:
    found = total(rows, column)
    return None if found is None else int(found)
