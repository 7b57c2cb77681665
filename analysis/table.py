"""The text table of a run, in the manner of nccl-tests.

In: summary rows, and what the workload measures. Out: the table with legend and footer. Owns its form;
analysis/printed.py has the columns. Plain text without colour or wrapping, at most 140 columns wide, so that
a pipe and a terminal show the same. A collective that was done out of place and in place has both in a line.
Every row has as many words as the table has columns. Columns that are asked for are analysis/wide_table.py's.
"""

from collections.abc import Callable, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from analysis.bandwidth import GB
from analysis.fidelity import STEAL_LIMIT, VERDICTS
from analysis.load import Run
from analysis.measure import Column, Measure
from analysis.memory_model import AS_COUNTED
from analysis.nics import NicRow, at_largest_size, has_shared_hosts, nic_rows
from analysis.printed import PRINTED, UNKNOWN, rate
from analysis.summary import SummaryRow, paths_of, unsteady, words_of
from analysis.traffic import traffic_line

SPREAD_TOLD = 0.25  # of the time: a larger spread of ranks is told below the table
_PRINT_WIDTH = 600  # wide enough that rich neither wraps nor cuts; the table takes only what it needs


Body = Callable[[Sequence[SummaryRow], Measure], list[str]]


def table_text(
    run: Run,
    summary: Sequence[SummaryRow],
    failed_figures: Sequence[str] = (),
    body: Body | None = None,
) -> str:
    """The table with its legend and footer, each line ended by a newline. `body`: its lines, of other columns
    than the workload's."""
    lines = _head(run, summary)
    if summary:
        lines += (body or _body)(summary, run.manifest.measure)
    else:
        lines.append("# No iteration was completed: there is nothing to show.")
    return "\n".join([*lines, *_footer(run, summary), *(f"# {said}" for said in failed_figures)]) + "\n"


def wrong_elements(run: Run) -> int:
    """Wrong values in every row of the run, warm-up and incomplete iterations included."""
    return int(run.samples["wrong_elements"].fillna(0).sum())


def shown_columns(summary: Sequence[SummaryRow], measure: Measure) -> tuple[Column, ...]:
    """The measure's columns, without `both_ways` where every row has one direction only, and without
    `predicted` where nothing was."""
    left_out = set[Column]()
    if all(row.both_ways_gbit_per_s == row.goodput_gbit_per_s for row in summary):
        left_out.add("both_ways")
    if all(row.predicted_us is None for row in summary):
        left_out.add("predicted")
    return tuple(name for name in measure.columns if name not in left_out)


_OF_A_PLACE: tuple[Column, ...] = ("time", "algbw", "busbw", "wrong")


def _head(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    config = run.config
    line = f"# {config.workload} on {config.topology}, {config.hosts} hosts"
    if summary:
        repetitions = summary[0].repetitions
        line += f", {summary[0].nranks} ranks, {repetitions} repetition{'' if repetitions == 1 else 's'}"
    lines = [f"{line}; run {run.manifest.run_id}"]
    if run.manifest.status != "complete":
        error = run.manifest.error or "no error recorded"
        lines.append(f"# THIS RUN IS {run.manifest.status.upper()}: {error}")
    return lines


def _body(summary: Sequence[SummaryRow], measure: Measure) -> list[str]:
    lines = _lines(summary)
    both = any(len(line) > 1 for line in lines)
    table = empty_table()
    texts: list[list[str]] = [[] for _ in lines]
    for name, in_place in _columns(shown_columns(summary, measure), both):
        column = PRINTED[name]
        over = ("in-place" if in_place else "out-of-place") if both and name == "time" else ""
        header = f"{over}\n{column.header}" if both else column.header
        table.add_column(header, justify=column.side, no_wrap=True)
        for line, cells in zip(lines, texts, strict=True):
            row = line.get(in_place) if both and name in _OF_A_PLACE else _shared(line)
            cells.append(UNKNOWN if row is None else column.text(row))
    for cells in texts:
        table.add_row(*cells)
    return printed_lines(table)


def empty_table() -> Table:
    """In the form of all tables here."""
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))


def printed_lines(table: Table) -> list[str]:
    """As text."""
    page = StringIO()
    plain = Console(
        file=page, width=_PRINT_WIDTH, color_system=None, force_terminal=False, force_jupyter=False
    )
    plain.print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _columns(shown: Sequence[Column], both: bool) -> list[tuple[Column, bool]]:
    """Columns in order. Of two places both have the columns that differ by place, and none its interval."""
    of_place = [name for name in shown if name in _OF_A_PLACE]
    if not both:
        return [(name, False) for name in shown]
    begin = shown.index(of_place[0])
    rest = [name for name in shown[begin:] if name not in (*_OF_A_PLACE, "busbw_interval")]
    return [
        *((name, False) for name in shown[:begin]),
        *((name, in_place) for in_place in (False, True) for name in of_place),
        *((name, False) for name in rest),
    ]


def _shared(line: dict[bool, SummaryRow]) -> SummaryRow:
    """The row whose other columns stand for the line: the one of the worst verdict."""
    return max(line.values(), key=lambda row: VERDICTS.index(row.verdict))


def _lines(summary: Sequence[SummaryRow]) -> list[dict[bool, SummaryRow]]:
    """The rows of one size and path belong to one line, by whether they are in place."""
    lines: dict[tuple[int, str], dict[bool, SummaryRow]] = {}
    for row in summary:
        lines.setdefault((row.size_bytes, row.path), {})[row.in_place] = row
    return list(lines.values())


def _footer(run: Run, summary: Sequence[SummaryRow]) -> list[str]:
    lines = ["# DRAM: host DRAM bytes read and written per payload byte sent or received (modelled)"]
    if run.memory_model != AS_COUNTED:
        lines.append(f"# DRAM is assumed with {run.memory_model.words}")
    lines += _ceilings(run)
    lines += [f"# {note.path}({'-'.join(note.mark.split())}): {note.text}" for note in run.manifest.notes]
    lines += _faults(run)
    lines += [f"# Traffic {traffic_line(record)}" for record in run.manifest.traffic]
    if any(row.derived for row in summary):
        lines.append("# * derived in closed form, in whole or in part, not recorded by the ledger")
    wrong = wrong_elements(run)
    unchecked = sum(row.wrong_elements is None for row in summary)
    lines.append(
        f"# Out of bounds values : {wrong} {'FAILED' if wrong else 'OK'}"
        + (f" ({unchecked} of {len(summary)} rows above were not checked)" if unchecked else "")
    )
    lines += _sampled(summary)
    lines += _stragglers(summary, run.manifest.measure)
    lines += verdicts(summary)
    lines += [f"# Not steady           : {said}" for said in unsteady(summary, run.manifest.measure)]
    lines += _pcie(run)
    if summary:
        lines.append(_average(summary, run.manifest.measure))
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
    lines += [f"# {said}" for said in run.damage]
    if run.incomplete_iterations:
        lines.append(f"# Incomplete iterations left out: {run.incomplete_iterations}")
    return lines


def _ceilings(run: Run) -> list[str]:
    """The bandwidths that every host was limited to."""
    memory, pcie = run.config.host_mem_bw_bytes_per_s, run.config.pcie_bw_bytes_per_s
    said = [f"host memory {memory / GB:g}"] if memory else []
    said += [f"PCIe switch {pcie / GB:g} each way"] if pcie else []
    return [f"# Ceilings of a host   : (GB/s) {', '.join(said)}"] if said else []


def _faults(run: Run) -> list[str]:
    """What was hurt on purpose: no number above is that of a sound network."""
    steps: dict[str, list[str]] = {}
    for step in run.manifest.faults:
        when = "not before the end" if step.actual_s is None else f"at {step.actual_s:.3f} s"
        steps.setdefault(step.fault, []).append(f"{step.action} {when}")
    return [f"# Fault {fault}: {', '.join(done)}" for fault, done in steps.items()]


def verdicts(summary: Sequence[SummaryRow]) -> list[str]:
    """A line for each verdict that occurs, the worst first, with its number of rows and the first one's
    reason."""
    first: dict[str, SummaryRow] = {}
    for row in summary:
        first.setdefault(row.verdict, row)
    lines = []
    for word in sorted(first, key=VERDICTS.index, reverse=True):
        rows = sum(row.verdict == word for row in summary)
        counted = f"{rows} row{'' if rows == 1 else 's'}"
        lines.append(f"# Verdict              : {word} ({counted}): {first[word].verdict_reason}")
    return lines


def _pcie(run: Run) -> list[str]:
    """Of a run with several ranks a host: what the busiest NIC moved on each path; nics.csv has all."""
    if not has_shared_hosts(run):
        return []
    busiest: dict[str, NicRow] = {}
    for row in at_largest_size(nic_rows(run)):
        so_far = busiest.setdefault(row.path, row)
        if (row.pcie_switch_bytes or 0) > (so_far.pcie_switch_bytes or 0):
            busiest[row.path] = row
    said = [
        f"{path} {row.pcie_switch_bytes / 1e6:.3f}, root {row.pcie_root_bytes / 1e6:.3f}"
        for path, row in busiest.items()
        if row.pcie_switch_bytes is not None and row.pcie_root_bytes is not None
    ]
    return [f"# Busiest PCIe switch  : (MB an iteration) {'; '.join(said)}; nics.csv has all"] if said else []


def _sampled(summary: Sequence[SummaryRow]) -> list[str]:
    """How much of the received bytes was compared, where that is a sample."""
    shares = [
        f"{row.word} {100 * row.checked_share:.1f} %" for row in summary if row.checked_share is not None
    ]
    return [f"# Compared by content  : {', '.join(shares)} of what arrived, a sample"] if shares else []


def _stragglers(summary: Sequence[SummaryRow], measure: Measure) -> list[str]:
    """Where ranks of an iteration took unlike times; the mean that a time is says nothing of that."""
    apart = [row for row in summary if (row.straggler_spread_p50_us or 0) > SPREAD_TOLD * row.time_us]
    if not apart:
        return []
    worst = max(apart, key=lambda row: (row.straggler_spread_p50_us or 0) / row.time_us)
    share = (worst.straggler_spread_p50_us or 0) / worst.time_us
    which = f"{worst.word}{f' at {worst.size_bytes} B' * measure.size_is_key}"
    said = f"{which} the last rank took {100 * share:.0f} % of the time longer"
    return [f"# Stragglers           : {len(apart)} of {len(summary)} rows; of {said} than the first"]


def _average(summary: Sequence[SummaryRow], measure: Measure) -> str:
    shown = measure.shown_rate
    found = []
    for path, word in words_of(summary).items():
        rates = [row.busbw_GB_per_s for row in summary if row.path == path]
        found.append(f"{word} {rate(shown.per_GB_per_s * sum(rates) / len(rates))}")
    # Ends with a number, as nccl-tests' line does, which programs take the last word of.
    return f"# {'Avg ' + shown.name:<20} : ({shown.unit}) {', '.join(found)}"
