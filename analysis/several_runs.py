"""Figures and tables of several runs that differ in one option, or in nothing.

In: `Frames` of runs. Out: figures with captions, frames. Owns which rows are compared: of each run the rows
of its largest size, out of place if there are both.
"""

import analysis.matplotlib_defaults  # noqa: F401  before anything of matplotlib's: without a user's settings

# isort: split
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.bandwidth import GB, seconds_per_byte
from analysis.captioned_figure import CaptionedFigure, painted
from analysis.fidelity import kind_of_seconds
from analysis.frames import Frames
from analysis.measure import size_text
from analysis.needs import dram_per_busbw_byte
from analysis.network_plot import plain
from analysis.plots import Paint, marked, whiskers
from analysis.results_error import ResultsError
from analysis.statistics import Repetitions, ratio
from analysis.style import GREY, HEIGHT, colour_of, marker_of
from analysis.summary import SummaryRow, compared, of_largest_size

_APART = 1_000_000  # repetitions of two runs have nothing in common but their numbers

Points = list[tuple[float, SummaryRow]]


def niov_sizes(runs: Sequence[Frames]) -> CaptionedFigure:
    """Bandwidth of each path against the size of net_iovs, of runs that differ in --niov-size."""
    points = _by_option(runs, "niov_bytes")

    def paint(axes: Axes) -> str:
        unit = _lines(axes, points, runs[0])
        sizes = sorted({int(at) for of_path in points.values() for at, _ in of_path})
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_text(value)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("bytes of a net_iov, and of a host page on path bounce")
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.set_title("Bandwidth against the size of net_iovs")
        axes.legend()
        return f"{_seconds(points)}. Medians of a run each, with their 95 % bootstrap intervals."

    return _painted(paint, _rows(points))


def scale(runs: Sequence[Frames]) -> CaptionedFigure:
    """Bandwidth of each path against the number of ranks, of runs that differ in --hosts."""
    points = _by_option(runs, "ranks")

    def paint(axes: Axes) -> str:
        unit = _lines(axes, points, runs[0])
        counts = sorted({int(at) for of_path in points.values() for at, _ in of_path})
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("ranks (number)")
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.set_title("Bandwidth against the number of ranks")
        axes.legend()
        return (
            f"{_seconds(points)}. Medians of a run each, at the largest size, with 95 % intervals (none "
            "where a single value exists)."
        )

    return _painted(paint, _rows(points))


def crossover(runs: Sequence[Frames]) -> CaptionedFigure:
    """Bandwidth of each path against the bandwidth of host memory, of runs that differ in --host-mem-bw."""
    points = _by_option(runs, "host_mem_bw_bytes_per_s")

    def paint(axes: Axes) -> str:
        factor = runs[0].run.manifest.measure.shown_rate.per_GB_per_s
        unit = _lines(axes, points, runs[0], per=1e6)
        limits = sorted({at for of_path in points.values() for at, _ in of_path})
        curve = [limits[0] / 1.5 * (2.25 * limits[-1] / limits[0]) ** (step / 100) for step in range(101)]
        highest = max(row.busbw_GB_per_s for of_path in points.values() for _, row in of_path) * factor
        for path, of_path in points.items():
            need = dram_per_busbw_byte(of_path[0][1])
            if need:
                allowed = [factor * limit / GB / need for limit in curve]
                axes.plot([limit / 1e6 for limit in curve], allowed, color=colour_of(path, list(points)),
                          linestyle=":", linewidth=1.4)  # fmt: skip
        axes.plot([], [], color=GREY, linestyle=":", label="what host memory allows")
        axes.set_xscale("log")
        axes.set_xlim(curve[0] / 1e6, curve[-1] / 1e6)
        axes.set_xticks([limit / 1e6 for limit in limits])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0, 1.25 * highest)
        axes.set_xlabel("bandwidth of each host's memory (MB/s)")
        axes.set_ylabel(unit)
        axes.set_title("Bandwidth against the bandwidth of host memory")
        axes.legend()
        return (
            f"{_seconds(points)}: points, with 95 % intervals. Dotted lines are modelled: the limit divided "
            "by the DRAM bytes that the ledger counted per payload byte. A path on its line is limited by it."
        )

    return _painted(paint, _rows(points))


def ratios(before: Frames, after: Frames) -> pd.DataFrame:
    """Of each path and size that both runs have: bandwidth of `after` over that of `before`, and the 95 %
    bootstrap interval of that ratio; `told_apart` if it does not contain 1."""
    theirs, ours = _paces(before), _paces(after)
    found = []
    for path, size in sorted((key for key in theirs if key in ours), key=lambda key: key[1]):
        value = ratio(theirs[path, size], {_APART + at: each for at, each in ours[path, size].items()})
        apart = value.low is not None and value.high is not None and not value.low <= 1 <= value.high
        found.append((path, size or None, value.value, value.low, value.high, apart))
    if not found:
        raise ResultsError(f"runs {before.name} and {after.name} have no path and size in common")
    return pd.DataFrame(found, columns=["path", "size_bytes", "ratio", "ci_low", "ci_high", "told_apart"])


def two_runs(before: Frames, after: Frames) -> CaptionedFigure:
    """The ratios as a figure: how much `after` is faster than `before`."""
    rows, shown = ratios(before, after), [*before.rows, *after.rows]

    def paint(axes: Axes) -> str:
        names = []
        for place, row in enumerate(rows.to_dict("records")):
            value, low, high, path = row["ratio"], row["ci_low"], row["ci_high"], row["path"]
            spread = None if pd.isna(low) else [[value - low], [high - value]]
            axes.errorbar([value], [place], xerr=spread, color=colour_of(path, list(rows["path"])),
                          marker=marker_of(path), markersize=8, capsize=5, linestyle="none")  # fmt: skip
            size = "" if pd.isna(row["size_bytes"]) else f", {size_text(row['size_bytes'])}"
            names.append(plain(path) + size)
        axes.axvline(1, color=GREY, linewidth=1)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_ylabel("path, size" if rows["size_bytes"].notna().any() else "path")
        axes.set_xlabel("bandwidth of the second run over that of the first (ratio)")
        axes.set_title(plain(f"{after.name} against {before.name}"))
        axes.grid(visible=True, axis="x")
        return (
            f"{kind_of_seconds([row.verdict for row in shown])}. Ratio of medians with its 95 % bootstrap "
            "interval; where that contains 1, these runs do not tell the two apart."
        )

    return _painted(paint, shown, height=1.6 + 0.45 * len(rows))


def _painted(paint: Paint, rows: Sequence[SummaryRow], height: float = HEIGHT) -> CaptionedFigure:
    """With a watermark if a row is not the network's."""
    return painted(lambda figure: marked(paint, rows)(figure.add_subplot()), height=height)


def _rows(points: dict[str, Points]) -> list[SummaryRow]:
    return [row for of_path in points.values() for _, row in of_path]


def _seconds(points: dict[str, Points]) -> str:
    return kind_of_seconds([row.verdict for row in _rows(points)])


def _paces(run: Frames) -> dict[tuple[str, int], Repetitions]:
    """Seconds a byte by path and size; size 0 where it is a result."""
    rows, measure = run.measured, run.run.manifest.measure
    if (rows["in_place"] == 0).any():
        rows = rows[rows["in_place"] == 0]
    groups = rows.groupby([rows["path"], rows["size_bytes"] * measure.size_is_key], sort=False)
    return {(str(path), int(str(size))): seconds_per_byte(of_one, measure) for (path, size), of_one in groups}


def _by_option(runs: Sequence[Frames], option: str) -> dict[str, Points]:
    """Rows of each path with the runs' values of `option`, in their order. Raises ResultsError."""
    found: dict[str, Points] = {}
    for run in runs:
        value = run.run.manifest.config.get(option)
        if not isinstance(value, int | float):
            raise ResultsError(f"run {run.name} was made without {option}, which the figure is about")
        for row in of_largest_size(compared(run.rows), run.run.manifest.measure):
            found.setdefault(row.path, []).append((float(value), row))
    if not found:
        raise ResultsError("there is no run with rows; give some, as load(...) returns them")
    return {path: sorted(points, key=lambda point: point[0]) for path, points in found.items()}


def _lines(axes: Axes, points: dict[str, Points], run: Frames, per: float = 1) -> str:
    """A line a path, with intervals; an option's value is shown divided by `per`. Returns what stands at the
    axis."""
    shown = run.run.manifest.measure.shown_rate
    for path, of_path in points.items():
        rows = [row for _, row in of_path]
        axes.errorbar(
            [at / per for at, _ in of_path], [row.busbw_GB_per_s * shown.per_GB_per_s for row in rows],
            yerr=whiskers(rows, shown.per_GB_per_s), color=colour_of(path, list(points)),
            marker=marker_of(path), label=plain(rows[0].label), capsize=4, linewidth=1.8,
        )  # fmt: skip
    return f"{shown.name} ({shown.unit})"
