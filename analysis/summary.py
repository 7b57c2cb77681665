"""One row a path, size and place: what tables, figures and report show.

In: a loaded `Run`. Out: `SummaryRow`s, and summary.csv. Owns the summary's columns. Times come from complete,
timed iterations only. Wrong values are counted in warm-up iterations too: wrong data is wrong at any time.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields, replace
from io import StringIO

import numpy as np
import pandas as pd

from analysis.bandwidth import GB, directions
from analysis.fidelity import SIMULATED, Conditions, Verdict, of_trial, worst
from analysis.groups import groups_of, paces_of
from analysis.host_memory import host_memory, memory_columns, per, total
from analysis.link_usage import LinkUsage, link_drops
from analysis.load import Run
from analysis.measure import Measure
from analysis.processes import measured_dram, switch_columns
from analysis.rank_columns import iteration_of, network_cpu_of, rank_columns
from analysis.stability import told, warnings, words
from analysis.statistics import Estimate, Ratio, Repetitions, estimate, ratio
from analysis.summary_row import SummaryRow as SummaryRow  # the row, in a file of its own
from analysis.usage import Usage

_NUMBER = re.compile(r"[+-]?[0-9]+")


def summarise(run: Run) -> tuple[SummaryRow, ...]:
    """Rows by size, then by path in the order of the configuration, then out of place before in place; empty
    if no iteration is complete."""
    groups = dict(groups_of(run))
    paces = paces_of(run, groups)
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


def unsteady(summary: Sequence[SummaryRow], measure: Measure) -> list[str]:
    """Why times are not to be relied on, a sentence for each reason. Where the size is a result and was not
    asked for, it names no row."""
    named = (
        (
            f"{f'{row.size_bytes} B on ' * measure.size_is_key}{row.path}{' in place' * row.in_place}",
            row.stability,
        )
        for row in summary
    )
    return told(named)


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


def _row(run: Run, rows: pd.DataFrame, path: str, pace: Repetitions) -> SummaryRow:
    first, measure, spread = rows.iloc[0], run.manifest.measure, estimate(pace)
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
        **rank_columns(rows, measure, path),
        network_cpu_of=network_cpu_of(rows, path),
        **_rate_columns(spread, measure, directions(rows, measure)),
        wrong_elements=_wrong(run, rows, path),
        checked_share=_checked_share(rows) if measure.checked == "sample" else None,
        **memory_columns(host_memory(rows, run.memory_model)),
        rfo=run.memory_model.rfo,
        ddio_share=run.memory_model.ddio,
        busiest_host_payload_bytes=_busiest_host(rows),
        **switch_columns(rows),
        measured_dram_bytes_per_payload_byte=measured_dram(run.memory_usage, path, _trial_sizes(run, rows)),
        steal_fraction_max=steal,
        tcp_retrans_segs=_count(rows, "tcp_retrans_segs"),
        rx_alloc_fail=_count(rows, "rx_alloc_fail"),
        rx_hw_drops=_count(rows, "rx_hw_drops"),
        rx_hw_drop_overruns=_count(rows, "rx_hw_drop_overruns"),
        link_drops=link_drops(run.link_usage, _trials(run, rows, path)),
        verdict=verdict.word,
        verdict_reason=verdict.reason,
        stability=words(warnings(pace, spread)),
    )


def _predicted_us(run: Run, size: int) -> float | None:
    """Of that size; where the size is a result there is one prediction."""
    found = [
        each.time_s * 1e6
        for each in run.manifest.predictions
        if each.size_bytes == size or not run.manifest.measure.size_is_key
    ]
    return found[0] if found else None


def _trials(run: Run, rows: pd.DataFrame, path: str) -> Callable[[Usage | LinkUsage], bool]:
    """Whether a row of usage.csv or link_usage.csv is of the trials of `rows`."""
    sizes = _trial_sizes(run, rows)
    repetitions = {int(each) for each in rows["repetition"].unique()}
    return lambda used: (
        used.path == path
        and used.repetition in repetitions
        and (sizes is None or used.size_bytes in sizes)
    )


def _verdict(run: Run, rows: pd.DataFrame, path: str, steal: float | None) -> Verdict:
    """The worst of the row's trials, a repetition each. A trial without usage is unknown."""
    off = [link for link in run.manifest.links if link.is_off]
    said = f"{off[0].sender} to {off[0].receiver} was not as asked before the run" if off else ""
    simulated = run.config.clock == SIMULATED
    conditions = Conditions(said, steal, bool(run.manifest.traffic), simulated)
    is_of = _trials(run, rows, path)
    trials: dict[int, list[Usage]] = {int(each): [] for each in rows["repetition"].unique()}
    for used in run.usage:
        if is_of(used):
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
    of_host = payload.groupby([*iteration_of(rows), rows["host"]]).sum()
    return float(of_host.groupby(level=[0, 1]).max().mean())


def _wrong(run: Run, rows: pd.DataFrame, path: str) -> int | None:
    everything = run.samples
    is_of = (everything["path"] == path) & (everything["in_place"] == rows["in_place"].iloc[0])
    if run.manifest.measure.size_is_key:
        is_of &= everything["size_bytes"] == rows["size_bytes"].iloc[0]
    checked = everything["wrong_elements"][is_of].dropna()
    return None if checked.empty else int(checked.sum())


def _checked_share(rows: pd.DataFrame) -> float | None:
    return per(total(rows, "checked_bytes"), total(rows, "payload_received_bytes"))


def _count(rows: pd.DataFrame, column: str) -> int | None:
    found = total(rows, column)
    return None if found is None else int(found)
