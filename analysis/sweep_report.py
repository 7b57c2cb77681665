"""The report of a sweep: many runs on one page, as small multiples and as a table.

In: the runs of a sweep's complete cells, what is said of the others. Out: report.html, report.md and figures
in the sweep's directory. Owns the sentences. It is drawn of the runs' data files alone; their own reports
stay as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.captioned_figure import painted
from analysis.fidelity import FAITHFUL, SIMULATED
from analysis.load import load
from analysis.measure import RATES, Measure, Rate
from analysis.page import Shown, page, shown
from analysis.plots import Drawn
from analysis.printed import UNKNOWN, interval, per_byte, rate
from analysis.report_files import MARKDOWN, REPORT
from analysis.report_markdown import plain
from analysis.run_directory import RunDirectory
from analysis.summary import SummaryRow, compared, run_verdict, summarise
from analysis.sweep import CellRun
from analysis.sweep_plot import PATH, Layout, Point, layout, order, paints
from analysis.table import wrong_elements

_ROWS_MAX = 400  # that are shown; summary.csv has all
_HEADS = ("to bounce", "DRAM (B/B)", "CPU (s/GB)", "verdict")
_MIXED = Rate("bandwidth", "GB/s", 1, 3)  # where some cells have goodput and others bus bandwidth


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as text, behind its cell's values of the options. `report`: where that of its run is."""

    options: Sequence[str]
    row: SummaryRow
    rate: str
    interval: str
    to_bounce: str
    dram: str
    cpu: str
    report: str


@dataclass(frozen=True)
class SweepReport:
    """`wrong_elements` counts those of all rows, in place and warm-up too."""

    path: Path
    cells: int
    rows: int
    wrong_elements: int


@dataclass(frozen=True)
class _Told:
    """What page and Markdown have in common, by the template's names."""

    title: str
    answer: str
    story: str
    failed: Sequence[str]
    options: Sequence[str]
    unit: Rate
    lines: Sequence[_Line]
    left_out: int
    wrong_elements: int


def write_sweep_report(
    directory: Path, runs: Sequence[CellRun], failed: Sequence[str], command: Sequence[str]
) -> SweepReport:
    """`failed`: a sentence for each cell that is not complete. `command`: the words that repeat the sweep.
    Raises ResultsError if a run's data are bad, and OSError."""
    runs = sorted(runs, key=lambda run: [order(text) for text in run.options.values()])
    read = _read(runs)
    found = layout(points := [Point(cell.options, row) for cell, row in read.rows])
    unit, options = _rate(read.measures), _options(runs)
    told = _Told(
        title=f"Sweep {directory.resolve().name}: {len(runs)} cells",
        answer=answer([row for _, row in read.rows]),
        story=_story(runs, found, len(read.rows)),
        failed=failed,
        options=options,
        unit=unit,
        lines=[_line(cell, row, unit, options) for cell, row in read.rows[:_ROWS_MAX]],
        left_out=max(0, len(read.rows) - _ROWS_MAX),
        wrong_elements=read.wrong_elements,
    )
    place = RunDirectory(directory)
    html = page(
        "sweep_report.html.j2",
        figures=list(_figures(place, points, found, unit)) if points else [],
        command=command,
        verdict=run_verdict([row for _, row in read.rows]),
        faithful=(FAITHFUL, SIMULATED),
        **vars(told),
    )
    path = place.write(REPORT, html.encode("utf-8", "backslashreplace"))
    place.write(MARKDOWN, _markdown(told).encode("utf-8", "backslashreplace"))
    return SweepReport(path, len(runs), len(read.rows), read.wrong_elements)


def answer(summary: Sequence[SummaryRow]) -> str:
    """In how many rows devmem is faster than bounce, where both ran in one cell."""
    rows = [row for row in summary if row.path == "devmem" and row.busbw_ratio_to_bounce is not None]
    if not rows:
        return ""
    ratios = [row.busbw_ratio_to_bounce or 0.0 for row in rows]
    faster = sum((row.busbw_ratio_to_bounce_ci_low or 0) > 1 for row in rows)
    slower = sum(0 < (row.busbw_ratio_to_bounce_ci_high or 0) < 1 for row in rows)
    return (
        f"devmem is faster than bounce in {faster} of {len(rows)} rows, slower in {slower}, and not told "
        f"apart in {len(rows) - faster - slower}: {min(ratios):.2f} to {max(ratios):.2f} times as fast."
    )


@dataclass(frozen=True, slots=True)
class _Read:
    rows: list[tuple[CellRun, SummaryRow]]
    measures: list[Measure]
    wrong_elements: int


def _read(runs: Sequence[CellRun]) -> _Read:
    found, measures, wrong = [], [], 0
    for cell in runs:
        run = load(cell.run_dir)
        measures.append(run.manifest.measure)
        wrong += wrong_elements(run)
        rows = run.measured
        if (rows["in_place"] == 0).any():  # the others would be summed up for nothing
            run = replace(run, measured=rows[rows["in_place"] == 0])
        found += [(cell, row) for row in compared(summarise(run))]
    return _Read(found, measures, wrong)


def _rate(measures: Sequence[Measure]) -> Rate:
    """In which all rows are shown."""
    kinds = {each.rate for each in measures}
    return RATES[kinds.pop()] if len(kinds) == 1 else _MIXED


def _options(runs: Sequence[CellRun]) -> list[str]:
    """The options by which cells differ, without the path, which is a column of its own."""
    return [name for name in dict.fromkeys(name for run in runs for name in run.options) if name != PATH]


def _story(runs: Sequence[CellRun], found: Layout, rows: int) -> str:
    machines = sorted({run.machine for run in runs})
    names = list(dict.fromkeys(name for run in runs for name in run.options))
    said = f"{len(runs)} runs, {rows} rows of path and size, on {', '.join(machines) or 'no machine'}. "
    said += f"The cells differ in {', '.join(names)}. " if names else "The cells do not differ. "
    if found.axis:
        said += f"In the figures, {found.axis} runs along each panel; the other options tell panels apart."
    return said


def _line(cell: CellRun, row: SummaryRow, unit: Rate, options: Sequence[str]) -> _Line:
    low, high = row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s
    scaled = [None if each is None else unit.per_GB_per_s * each for each in (low, high)]
    ratio = row.busbw_ratio_to_bounce
    return _Line(
        options=[cell.options.get(name) or "none" for name in options],
        row=row,
        rate=rate(unit.per_GB_per_s * row.busbw_GB_per_s),
        interval=interval(*scaled),
        to_bounce=UNKNOWN if ratio is None else f"{ratio:.2f}",
        dram=per_byte(row.host_dram_bytes_per_payload_byte) + ("*" if row.derived else ""),
        cpu=rate(row.cpu_s_per_GB),
        report=f"cells/{cell.run_dir.name}/{REPORT}",
    )


def _figures(place: RunDirectory, points: Sequence[Point], found: Layout, unit: Rate) -> Iterator[Shown]:
    for name, paint in paints(points, found, unit):
        figure = painted(paint)
        svg = figure.svg()
        place.write(f"figures/{name}.svg", svg)
        path = place.write(f"figures/{name}.png", figure.png())
        yield shown(name, Drawn(path, figure.caption, svg))


def _markdown(told: _Told) -> str:
    text = [f"### {plain(told.title)}", ""]
    text += [f"**{plain(told.answer)}**", ""] if told.answer else []
    text += [f"> **{told.wrong_elements} wrong values.**", ""] if told.wrong_elements else []
    rate_head = f"{told.unit.name} ({told.unit.unit})"
    heads = (*told.options, "size (B)", "path", rate_head, "95 %", *_HEADS)
    text += ["| " + " | ".join(map(plain, heads)) + " |", "|" + " --- |" * len(heads)]
    for line in told.lines:
        row = line.row
        cells = (*line.options, str(row.size_bytes), row.label, line.rate, line.interval, line.to_bounce,
                 line.dram, line.cpu, row.verdict)  # fmt: skip
        text.append("| " + " | ".join(map(plain, cells)) + " |")
    text += ["", *(f"- {plain(each)}" for each in told.failed), "", plain(told.story)]
    return "\n".join(text) + "\n"
