"""In: summary rows. Out: the nccl-tests-style text table. Owns its columns and the form of numbers.

Plain text without colour or wrapping, at most 120 columns wide, so that a pipe and a terminal show the same.
"""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from analysis.load import STREAM, Run
from analysis.summary import SummaryRow, labels_of, paths_of

STEAL_LIMIT = 0.02
UNKNOWN = "n/a"
_PRINT_WIDTH = 400  # wide enough that rich neither wraps nor cuts; the table takes only what it needs

_LEFT = "left"
_RIGHT = "right"
_COLLECTIVE_COLUMNS = (
    ("size\n(B)", _RIGHT), ("count\n(elements)", _RIGHT), ("type\n", _RIGHT), ("redop\n", _RIGHT),
    ("root\n", _RIGHT), ("path\n", _LEFT), ("time\n(us)", _RIGHT), ("algbw\n(GB/s)", _RIGHT),
    ("busbw\n(GB/s)", _RIGHT), ("busbw 95 %\n(GB/s)", _RIGHT), ("#wrong\n", _RIGHT),
    ("   DRAM\n  (B/B)", _LEFT),
)  # fmt: skip
# A stream's elements are bytes, so its count is its size; its algbw and busbw are its goodput in other units.
_STREAM_COLUMNS = (
    _COLLECTIVE_COLUMNS[0], _COLLECTIVE_COLUMNS[2], *_COLLECTIVE_COLUMNS[5:7], ("goodput\n(Gbit/s)", _RIGHT),
    ("goodput 95 %\n(Gbit/s)", _RIGHT), ("retr\n", _RIGHT), *_COLLECTIVE_COLUMNS[-2:],
)  # fmt: skip
_BOTH_WAYS = ("both ways\n(Gbit/s)", _RIGHT)


def table_text(run: Run, summary: Sequence[SummaryRow]) -> str:
    """The table with its legend and footer, each line ended by a newline."""
    lines = _head(run, summary)
    if summary:
        lines += _body(summary)
    else:
        lines.append("# No iteration was completed: there is nothing to show.")
    return "\n".join([*lines, *_footer(run, summary)]) + "\n"


def wrong_elements(run: Run) -> int:
    """Wrong values in every row of the run, warm-up and incomplete iterations included."""
    return int(run.samples["wrong_elements"].fillna(0).sum())


def rate(value: float | None) -> str:
    """GB/s or Gbit/s."""
    return UNKNOWN if value is None else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """low..high, or n/a where one value gives no interval."""
    return UNKNOWN if low is None or high is None else f"{rate(low)}..{rate(high)}"


def goodput_interval(row: SummaryRow) -> str:
    """A stream's busbw is its goodput."""
    low, high = row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s
    return interval(None if low is None else 8 * low, None if high is None else 8 * high)


def count(value: int | None) -> str:
    """How many."""
    return UNKNOWN if value is None else str(value)


def per_byte(value: float | None) -> str:
    """Bytes per payload byte."""
    return UNKNOWN if value is None else f"{value:.4f}"


def _head(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    config = run.manifest.config
    line = f"# {config.get('workload')} on {config.get('topology')}, {config.get('hosts')} hosts"
    if summary:
        repetitions = summary[0].repetitions
        line += f", {summary[0].nranks} ranks, {repetitions} repetition{'' if repetitions == 1 else 's'}"
    lines = [f"{line}; run {run.manifest.run_id}"]
    if run.manifest.status != "complete":
        error = run.manifest.error or "no error recorded"
        lines.append(f"# THIS RUN IS {run.manifest.status.upper()}: {error}")
    return lines


def _body(summary: Sequence[SummaryRow]) -> list[str]:
    both = _has_both_ways(summary)
    columns = list(_STREAM_COLUMNS if summary[0].workload == STREAM else _COLLECTIVE_COLUMNS)
    if both:
        columns.insert(5, _BOTH_WAYS)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for header, side in columns:
        table.add_column(header, justify="right" if side == _RIGHT else "left", no_wrap=True)
    for row in summary:
        table.add_row(*_cells(row, both))
    page = StringIO()
    Console(file=page, width=_PRINT_WIDTH, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _cells(row: SummaryRow, both: bool) -> list[str]:
    # The mark stands behind the column, so that digits stay under each other.
    dram = per_byte(row.host_dram_bytes_per_payload_byte).rjust(7) + ("*" if row.derived else "")
    size, path, time = str(row.size_bytes), row.label, f"{row.time_us:.1f}"
    if row.workload == STREAM:
        shown = [size, row.type, path, time, rate(row.goodput_gbit_per_s)]
        if both:
            shown.append(rate(row.both_ways_gbit_per_s))
        shown += [goodput_interval(row), count(row.tcp_retrans_segs)]
    else:
        shown = [size, str(row.count_elements), row.type, row.redop, row.root, path, time]
        shown += [rate(row.algbw_GB_per_s), rate(row.busbw_GB_per_s)]
        shown.append(interval(row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s))
    return [*shown, count(row.wrong_elements), dram]


def _has_both_ways(summary: Sequence[SummaryRow]) -> bool:
    return any(row.both_ways_gbit_per_s != row.goodput_gbit_per_s for row in summary)


def _footer(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    lines = ["# DRAM: host DRAM bytes read and written per payload byte sent or received (modelled)"]
    lines += [f"# {note.path} ({note.mark}): {note.text}" for note in run.manifest.notes]
    if any(row.derived for row in summary):
        lines.append("# * derived in closed form, in whole or in part, not recorded by the ledger")
    wrong = wrong_elements(run)
    unchecked = sum(row.wrong_elements is None for row in summary)
    lines.append(
        f"# Out of bounds values : {wrong} {'FAILED' if wrong else 'OK'}"
        + (f" ({unchecked} of {len(summary)} rows above were not checked)" if unchecked else "")
    )
    lines += _sampled(summary)
    if summary:
        lines.append(_average(summary))
    if {"devmem", "bounce"} <= set(paths_of(summary)):
        lines.append("# devmem against bounce is like against like (one stack, one language); kernel is C")
    elif "kernel" in paths_of(summary) and len(paths_of(summary)) > 1:
        lines.append("# kernel is C, the other paths are Python: not like against like")
    steal = max((row.steal_fraction_max or 0 for row in summary), default=0)
    if steal > STEAL_LIMIT:
        lines.append(
            f"# Stolen CPU time reached {100 * steal:.1f} % (limit {100 * STEAL_LIMIT:.0f} %): "
            "believe the ratios, not the times, and repeat the run"
        )
    if run.incomplete_iterations:
        lines.append(f"# Incomplete iterations left out: {run.incomplete_iterations}")
    return lines


def _sampled(summary: Sequence[SummaryRow]) -> list[str]:
    """How much of a stream was looked at."""
    shares = [
        f"{row.label} {100 * row.checked_share:.1f} %" for row in summary if row.checked_share is not None
    ]
    return [f"# Compared by content  : {', '.join(shares)} of what arrived, a sample"] if shares else []


def _average(summary: Sequence[SummaryRow]) -> str:
    stream = summary[0].workload == STREAM
    found = []
    for path, label in labels_of(summary).items():
        rates = [row.busbw_GB_per_s for row in summary if row.path == path]
        found.append(f"{label} {rate((8 if stream else 1) * sum(rates) / len(rates))}")
    what, unit = ("Avg goodput         ", "Gbit/s") if stream else ("Avg bus bandwidth   ", "GB/s")
    return f"# {what} : {', '.join(found)} {unit}"
