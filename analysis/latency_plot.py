"""How long ranks, or operations, took: percentiles of each path and size.

In: summary rows, how each path looks. Out: a painted figure and its caption. Owns which times are shown:
those of operations where a workload has them, else those of ranks in iterations.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis.fidelity import kind_of_seconds
from analysis.measure import Measure, size_text
from analysis.memory_plots import Looks
from analysis.style import GREY
from analysis.summary import SummaryRow, paths_of

_APART = 0.24  # of the room between two sizes
_SIZES = 9  # that are named
Percentiles = tuple[float, float, float]


def known(summary: Sequence[SummaryRow], measure: Measure) -> list[tuple[SummaryRow, Percentiles]]:
    """Rows with their 50th, 95th and 99th percentile in microseconds. An exchange whose length is asked for
    and not measured has none."""
    found = []
    for row in summary:
        times = (row.latency_p50_us, row.latency_p95_us, row.latency_p99_us)
        if times[0] is None and measure.size_is_key:
            times = (row.rank_time_p50_us, row.rank_time_p95_us, row.rank_time_p99_us)
        p50, p95, p99 = times
        if p50 is not None and p95 is not None and p99 is not None and p50 > 0:
            found.append((row, (p50, p95, p99)))
    return found


def paint(axes: Axes, rows: Sequence[tuple[SummaryRow, Percentiles]], measure: Measure, looks: Looks) -> str:
    """`rows`: of `known`. A stem a path and size, from the median to the 99th percentile."""
    summary = [row for row, _ in rows]
    paths = paths_of(summary)
    sizes = sorted({row.size_bytes for row in summary}) if measure.size_is_key else [0]
    for row, (p50, p95, p99) in rows:
        look = looks[row.path]
        beside = _APART * (paths.index(row.path) - (len(paths) - 1) / 2)
        at = (sizes.index(row.size_bytes) if measure.size_is_key else 0) + beside
        axes.plot([at, at], [p50 / 1e3, p99 / 1e3], color=look.colour, linewidth=1.6)
        axes.plot([at], [p50 / 1e3], color=look.colour, marker=look.marker, linestyle="none")
        axes.plot([at], [p95 / 1e3], color=look.colour, marker=look.marker, markerfacecolor="white",
                  linestyle="none", markersize=4.5)  # fmt: skip
        axes.plot([at], [p99 / 1e3], color=look.colour, marker="_", markersize=9, linestyle="none")
    named = range(0, len(sizes), 1 + len(sizes) // _SIZES)
    axes.set_xticks(named, [size_text(sizes[at]) if measure.size_is_key else "" for at in named])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_yscale("log")
    axes.margins(y=0.22)  # room for the legend
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axes.get_ylim()
    if high < 30 * low:  # every step is named, so that two are even within one decade
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        steps = (1, 2, 5) if high < 300 * low else (1,)  # two decades alone name one or two values
        axes.yaxis.set_major_locator(LogLocator(subs=steps))
        axes.yaxis.set_minor_locator(NullLocator())
    of_operations = any(row.latency_p50_us is not None for row in summary)
    axes.set_xlabel("message size" if measure.size_is_key else "path")
    axes.set_ylabel(f"{'operation' if of_operations else 'iteration of a rank'} (ms)")
    axes.set_title("Latency percentiles")
    axes.legend(handles=_legend(paths, looks), loc="upper left", fontsize=8.5, ncols=3)
    what = "an operation took" if of_operations else "each rank took in each iteration"
    return (
        f"{kind_of_seconds([row.verdict for row in summary])}. How long {what}: the median, the 95th "
        "percentile (hollow) and the 99th (the end of the line)."
    )


def _legend(paths: Sequence[str], looks: Looks) -> list[Line2D]:
    of_paths = [
        Line2D([], [], color=looks[path].colour, marker=looks[path].marker, label=looks[path].label)
        for path in paths
    ]
    grey = {"color": GREY, "linestyle": "none"}
    return [
        *of_paths,
        Line2D([], [], marker="o", label="50 %", **grey),  # type: ignore[arg-type]
        Line2D([], [], marker="o", markerfacecolor="white", markersize=4.5, label="95 %", **grey),  # type: ignore[arg-type]
        Line2D([], [], marker="_", markersize=9, label="99 %", **grey),  # type: ignore[arg-type]
    ]
