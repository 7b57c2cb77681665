"""The figures of a run.

In: a run and its summary rows. Out: painted figures, and PNG and SVG files of them. Owns what each figure
shows; analysis/style.py owns how it looks.
"""

import analysis.matplotlib_defaults  # noqa: F401  before anything of matplotlib's: without a user's settings

# isort: split
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis import latency_plot, link_plot, loss_plot, memory_plots, pool_plot, tcp_plot, timeline
from analysis.captioned_figure import painted
from analysis.fidelity import FAITHFUL, SIMULATED, kind_of_seconds
from analysis.link_usage import uses
from analysis.load import Run
from analysis.measure import Measure, rounded, size_text
from analysis.memory_model import AS_COUNTED, MemoryModel
from analysis.needs import dram_per_busbw_byte
from analysis.network_plot import plain
from analysis.style import GREY, MARKERS, colour_of, lighter
from analysis.summary import SummaryRow, compared, of_largest_size, paths_of

BAR = 0.5
BUSBW_CAPTION = (
    "Median over the iterations of all repetitions; bars are the 95 % bootstrap interval of the "
    "median (none where a single value exists). devmem and bounce run the same stack in the same language; "
    "kernel is Linux TCP, in C."
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure on disk, what its reader has to know, and its SVG."""

    path: Path
    caption: str
    svg: bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run. `failed`: what is said of those that could not be drawn, a sentence each."""

    drawn: tuple[Drawn, ...] = ()
    failed: tuple[str, ...] = ()


Paint = Callable[[Axes], str]
PaintFigure = Callable[[Figure], str]


def draw(run: Run, summary: Sequence[SummaryRow]) -> Figures:
    """Write every figure for which `summary` has the values into figures/, as PNG and as SVG; none for an
    empty summary.

    The figure of a ceiling is drawn if the run limited the emulated host memory. A figure that cannot be
    drawn or written costs itself and nothing else.
    """
    drawn, failed = [], []
    for name, paint in paints(run, summary):
        try:
            figure = painted(paint)
            svg = figure.svg()
            run.directory.write(f"figures/{name.replace('.png', '.svg')}", svg)
            drawn.append(Drawn(run.directory.write(f"figures/{name}", figure.png()), figure.caption, svg))
        except Exception as reason:
            said = " ".join(f"{type(reason).__name__}: {reason}".split())
            failed.append(f"figures/{name} was not drawn ({said[:300]})")
    return Figures(tuple(drawn), tuple(failed))


def paints(run: Run, summary: Sequence[SummaryRow]) -> Iterator[tuple[str, PaintFigure]]:
    """Every figure that `summary` has the values for: its file's name, and what paints it."""
    for name, paint in _paints(run, summary):
        yield name, lambda figure, paint=paint: paint(figure.add_subplot())  # type: ignore[misc]
    looks, labels = _looks(summary), {row.path: row.label for row in summary}
    if trials := memory_plots.trials_over_time(run, compared(summary)):
        yield "host_dram_time.png", lambda figure: memory_plots.over_time(figure, trials, run, looks)
    largest = of_largest_size(compared(summary), run.manifest.measure)
    if loss_plot.has_something(largest):
        yield "losses.png", lambda figure: loss_plot.paint(figure, largest, looks)
    if hosts := pool_plot.courses(run, compared(summary)):
        yield "pools.png", lambda figure: pool_plot.paint(figure, hosts, looks)
    seconds = kind_of_seconds([row.verdict for row in summary])
    drawing, found = run.drawing, [use for use in uses(run.link_usage) if use.path in labels]
    if drawing is not None and found:
        yield "links.png", lambda figure: link_plot.paint(figure, drawing, found, labels, seconds)
    sampled = [each for each in run.tcp_info if each.path in labels]
    if sampled:
        yield "congestion.png", lambda figure: tcp_plot.paint(figure, sampled, labels, seconds)


def _paints(run: Run, summary: Sequence[SummaryRow]) -> Iterator[tuple[str, Paint]]:
    summary = compared(summary)
    if not summary:
        return
    measure, limit = run.manifest.measure, run.config.host_mem_bw_bytes_per_s
    looks = _looks(summary)
    rows = of_largest_size(summary, measure)
    at = _at_size(rows[0], measure)
    rate = f"{measure.rate}.png"
    if measure.rate == "goodput":
        yield rate, marked(lambda axes: _goodput(axes, rows, measure), rows)
    elif len({row.size_bytes for row in summary}) > 1:
        yield rate, marked(lambda axes: _busbw(axes, summary), summary)
    else:
        yield rate, marked(lambda axes: _busbw_of_one_size(axes, rows, at), rows)
    if any(row.host_dram_bytes_per_payload_byte is not None for row in rows):
        yield "host_dram.png", lambda axes: _host_dram(axes, rows, at)
    if limit and any(dram_per_busbw_byte(row) for row in rows):
        yield "ceiling.png", marked(lambda axes: memory_plots.ceiling(axes, rows, limit, looks), rows)
    if needs := memory_plots.compared_needs(rows):
        shown = rows if limit else ()
        yield (
            "crossover.png",
            marked(lambda axes: memory_plots.crossover_of(axes, run, shown, needs, looks), shown),
        )
    if any(row.cpu_s_per_GB is not None for row in rows):
        yield "cpu.png", lambda axes: _cpu(axes, rows, at)
    if known := latency_plot.known(summary, measure):
        yield "latency.png", marked(lambda axes: latency_plot.paint(axes, known, measure, looks), summary)
    if timeline.has_faults(run):
        colours = {path: colour_of(path, paths_of(summary)) for path in paths_of(summary)}
        labels = {row.path: plain(row.label) for row in summary}
        yield "timeline.png", lambda axes: timeline.paint(axes, run, colours, labels)


def marked(paint: Paint, rows: Sequence[SummaryRow]) -> Paint:
    """`paint`, with a watermark if a row that it shows is not the network's, or not of real seconds."""
    if any(row.verdict == SIMULATED for row in rows):
        return _simulated(paint)
    words = list(dict.fromkeys(row.verdict for row in rows if row.verdict != FAITHFUL))
    if not words:
        return paint
    said = ", ".join(words)

    def with_mark(axes: Axes) -> str:
        caption = paint(axes)
        axes.text(
            0.5, 0.5, f"{said}:\nnot the network's", transform=axes.transAxes, ha="center", va="center",
            fontsize=min(30, 600 / len(said)), color=GREY, alpha=0.28, rotation=20, fontweight="bold",
        )  # fmt: skip
        of = sorted({row.path for row in rows if row.verdict != FAITHFUL})
        return f"{caption} Not the network's, by verdict: {', '.join(of)} ({said})."

    return with_mark


def _simulated(paint: Paint) -> Paint:
    def with_mark(axes: Axes) -> str:
        caption = paint(axes)
        axes.text(
            0.99, 0.98, "simulated seconds", transform=axes.transAxes, ha="right", va="top", fontsize=11,
            color=GREY, fontweight="bold",
        )  # fmt: skip
        return caption

    return with_mark


def _looks(summary: Sequence[SummaryRow]) -> dict[str, memory_plots.Look]:
    paths = paths_of(summary)
    return {
        row.path: memory_plots.Look(
            plain(row.label), colour_of(row.path, paths), MARKERS.get(row.path, "D")
        )
        for row in summary
    }


def _busbw(axes: Axes, summary: Sequence[SummaryRow]) -> str:
    paths = paths_of(summary)
    for place, path in enumerate(paths):
        rows = [row for row in summary if row.path == path]
        beside = 1.06 ** (place - (len(paths) - 1) / 2)  # so that no interval hides another
        axes.errorbar(
            [beside * row.size_bytes for row in rows],
            [row.busbw_GB_per_s for row in rows],
            yerr=whiskers(rows, 1),
            color=colour_of(path, paths),
            marker=MARKERS.get(path, "D"),
            label=plain(rows[0].label),
            capsize=4,
            linewidth=1.8,
        )
    sizes = sorted({row.size_bytes for row in summary})
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 1.6, sizes[-1] * 1.6)
    axes.set_xticks(sizes[:: 1 + len(sizes) // 9])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_text(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.15 * max(row.busbw_ci_high_GB_per_s or row.busbw_GB_per_s for row in summary))
    axes.set_xlabel("message size")
    axes.set_ylabel("bus bandwidth (GB/s)")
    first = summary[0]
    title = f"Bus bandwidth of {first.workload} against message size, {first.nranks} ranks"
    axes.set_title(plain(title))
    axes.legend(loc="upper left", ncols=5)  # where the limit leaves room
    return f"{_seconds(summary)}. {BUSBW_CAPTION}"


def _goodput(axes: Axes, rows: Sequence[SummaryRow], measure: Measure) -> str:
    both = [
        "" if row.both_ways_gbit_per_s == one_way else f"\n(both ways {row.both_ways_gbit_per_s:.2f})"
        for row in rows
        for one_way in (row.goodput_gbit_per_s,)
    ]
    _rate_bars(axes, rows, 8, both)
    axes.set_ylabel("goodput, one direction (Gbit/s)")
    axes.set_title(plain(measure.figure_title) or f"Goodput{_at_size(rows[0], measure)}")
    return (
        f"{_seconds(rows)}. Payload bits that reached the receiver a second, headers not counted; the median "
        "over repetitions with its 95 % bootstrap interval (none where a single value exists)."
    )


def _busbw_of_one_size(axes: Axes, rows: Sequence[SummaryRow], at: str) -> str:
    _rate_bars(axes, rows, 1, [""] * len(rows))
    axes.set_ylabel("bus bandwidth (GB/s)")
    axes.set_title(f"Bus bandwidth{at}, {rows[0].nranks} ranks")
    return f"{_seconds(rows)}. {BUSBW_CAPTION}"


def _rate_bars(axes: Axes, rows: Sequence[SummaryRow], factor: float, more: Sequence[str]) -> None:
    """A bar of busbw times `factor` for each row, with its interval, its value and its text of `more`."""
    values = [row.busbw_GB_per_s * factor for row in rows]
    spread = whiskers(rows, factor)
    axes.bar(
        range(len(rows)),
        values,
        BAR,
        color=_colours(rows),
        yerr=spread,
        capsize=5 if any(spread[1]) else 0,
    )
    tops = [value + above for value, above in zip(values, spread[1], strict=True)]
    for place, (value, top) in enumerate(zip(values, tops, strict=True)):
        _label(axes, place, top, f"{rounded(value, 2)}{more[place]}")
    _bar_axes(axes, rows, max(tops))
    axes.set_ylim(0, 1.2 * (max(tops) or 1))


def _host_dram(axes: Axes, rows: Sequence[SummaryRow], at: str) -> str:
    reads = [row.host_dram_read_bytes_per_payload_byte or 0 for row in rows]
    writes = [row.host_dram_write_bytes_per_payload_byte or 0 for row in rows]
    places = range(len(rows))
    colours = _colours(rows)
    hatches = ["//" if row.derived else "" for row in rows]
    axes.bar(places, reads, BAR, color=colours, hatch=hatches, edgecolor="white", linewidth=0.8)
    axes.bar(
        places, writes, BAR, bottom=reads, color=lighter(colours), hatch=hatches, edgecolor="white",
        linewidth=0.8,
    )  # fmt: skip
    for place, row in enumerate(rows):
        value = row.host_dram_bytes_per_payload_byte
        text = "not recorded" if value is None else f"{value:.4f}{'*' if row.derived else ''}"
        _label(axes, place, value or 0, text)
        expected = row.host_dram_expected_bytes_per_payload_byte
        if expected is not None:
            axes.hlines(expected, place - 0.36, place + 0.36, colors="black", linewidth=1.2)
    _bar_axes(axes, rows, max(r + w for r, w in zip(reads, writes, strict=True)))
    axes.legend(handles=_dram_legend(rows), loc="upper center", ncols=4, fontsize=9)
    axes.set_ylabel("bytes per payload byte")
    axes.set_title(f"Host DRAM traffic per payload byte{at}")
    starred = " * and hatching: derived in closed form, not recorded." if any(r.derived for r in rows) else ""
    return (
        "Modelled: bytes that the ledger says the emulated hardware read from and wrote to host DRAM, over "
        f"payload bytes sent plus received. The black line is the closed form.{starred}{_model(rows[0])}"
    )


def _model(row: SummaryRow) -> str:
    model = MemoryModel(row.rfo, row.ddio_share)
    return "" if model == AS_COUNTED else f" Assumed: {model.words}."


def _dram_legend(rows: Sequence[SummaryRow]) -> list[Artist]:
    handles: list[Artist] = [
        Patch(facecolor=GREY, label="reads"),
        Patch(facecolor=lighter([GREY])[0], label="writes"),
        Line2D([], [], color="black", linewidth=1.2, label="closed form"),
    ]
    if any(row.derived for row in rows):
        handles.append(Patch(facecolor=GREY, hatch="//", edgecolor="white", label="* derived"))
    return handles


def _cpu(axes: Axes, rows: Sequence[SummaryRow], at: str) -> str:
    application = [row.app_cpu_s_per_GB or 0 for row in rows]
    endpoint = [row.endpoint_cpu_s_per_GB or 0 for row in rows]
    places = range(len(rows))
    axes.bar(places, application, BAR, color=_colours(rows))
    axes.bar(
        places, endpoint, BAR, bottom=application, color=lighter(_colours(rows)), hatch="\\\\",
        edgecolor="white", linewidth=0,
    )  # fmt: skip
    for place, row in enumerate(rows):
        text = "not recorded" if row.cpu_s_per_GB is None else f"{row.cpu_s_per_GB:.3f}"
        _label(axes, place, application[place] + endpoint[place], text)
    _bar_axes(axes, rows, max(a + e for a, e in zip(application, endpoint, strict=True)))
    parts = [
        Patch(facecolor=GREY, label="application"),
        Patch(facecolor=lighter([GREY])[0], hatch="\\\\", edgecolor="white", label="endpoint"),
    ]
    axes.legend(handles=parts, loc="upper center", ncols=2, fontsize=9)
    axes.set_ylabel("CPU seconds per GB")
    axes.set_title(f"CPU seconds per GB of payload{at}")
    return (
        f"{_seconds(rows)}. CPU time of applications and endpoints over GB of payload sent plus received. On "
        "the kernel path what Linux does in softirq context is charged to neither, so its bar is too low."
    )


def _bar_axes(axes: Axes, rows: Sequence[SummaryRow], top: float) -> None:
    axes.set_xticks(range(len(rows)), [plain(row.label).replace(" (", "\n(") for row in rows], fontsize=11)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(0, (top or 1) * 1.28)  # room for the values above the bars and the legend above those


def _label(axes: Axes, place: float, height: float, text: str) -> None:
    axes.annotate(
        text, (place, height), xytext=(0, 4), textcoords="offset points", ha="center", va="bottom",
        fontweight="bold",
    )  # fmt: skip


def whiskers(rows: Sequence[SummaryRow], factor: float) -> tuple[list[float], list[float]]:
    """Lengths below and above the median, times `factor`; 0 where there is no interval."""
    below, above = [], []
    for row in rows:
        low, high = row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s
        below.append(0.0 if low is None else max(0.0, row.busbw_GB_per_s - low) * factor)
        above.append(0.0 if high is None else max(0.0, high - row.busbw_GB_per_s) * factor)
    return below, above


def _seconds(rows: Sequence[SummaryRow]) -> str:
    return kind_of_seconds([row.verdict for row in rows])


def _colours(rows: Sequence[SummaryRow]) -> list[str]:
    return [colour_of(row.path, [other.path for other in rows]) for row in rows]


def _at_size(row: SummaryRow, measure: Measure) -> str:
    """What a title says of workload and size; "" where the size is a result."""
    return f", {plain(row.workload)} of {size_text(row.size_bytes)}" if measure.size_is_key else ""
