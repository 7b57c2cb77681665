"""The figures of one run, a function each: what the report draws, for a notebook.

In: `Frames`. Out: a matplotlib Figure with its caption, which a notebook shows. Owns nothing:
analysis/plots.py draws them for the report as well. A run that lacks what a figure needs raises ResultsError.
"""

import analysis.matplotlib_defaults  # noqa: F401  before anything of matplotlib's: without a user's settings

# isort: split
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis import plots
from analysis.captioned_figure import CaptionedFigure, painted
from analysis.fidelity import kind_of_seconds
from analysis.frames import Frames
from analysis.network_plot import plain
from analysis.results_error import ResultsError
from analysis.style import colour_of, marker_of

_NEEDS = {
    "ceiling": "a run with --host-mem-bw",
    "timeline": "a run with --fault",
    "links": "a run that recorded its links",
    "congestion": "a run with --tcp-info",
    "losses": "a run that lost packets, or recorded its page pools",
    "host_dram_time": "a run that recorded its ledgers over time, in trials of 0.3 s or more",
    "pools": "a run that recorded its page pools over time, in trials of 0.3 s or more",
}


def drawn(run: Frames, name: str) -> CaptionedFigure:
    """The report's figure of that name. Raises ResultsError."""
    found = dict(plots.paints(run.run, run.rows))
    if f"{name}.png" not in found:
        there = ", ".join(file.removesuffix(".png") for file in found) or "none"
        need = f"it needs {_NEEDS.get(name, 'a run that was completed')}; " if name in _NEEDS else ""
        raise ResultsError(f"run {run.name} has no figure {name!r}: {need}there are: {there}")
    return painted(found[f"{name}.png"])


def rate(run: Frames) -> CaptionedFigure:
    """Bus bandwidth against size, or goodput, of each path, with intervals."""
    return drawn(run, run.run.manifest.measure.rate)


def host_dram(run: Frames) -> CaptionedFigure:
    """Host DRAM bytes per payload byte of each path, beside the closed form."""
    return drawn(run, "host_dram")


def cpu(run: Frames) -> CaptionedFigure:
    """CPU seconds per GB of payload of each path."""
    return drawn(run, "cpu")


def ceiling(run: Frames) -> CaptionedFigure:
    """Bandwidth of each path under the limit of host memory."""
    return drawn(run, "ceiling")


def host_dram_time(run: Frames) -> CaptionedFigure:
    """Host DRAM traffic and payload of the busiest host over time."""
    return drawn(run, "host_dram_time")


def latency(run: Frames) -> CaptionedFigure:
    """Percentiles of how long operations, or ranks in iterations, took."""
    return drawn(run, "latency")


def losses(run: Frames) -> CaptionedFigure:
    """What was sent again and dropped, and how full page pools became."""
    return drawn(run, "losses")


def pools(run: Frames) -> CaptionedFigure:
    """How full each host's page pools were over time."""
    return drawn(run, "pools")


def timeline(run: Frames) -> CaptionedFigure:
    """Iterations in time, and what was hurt on purpose."""
    return drawn(run, "timeline")


def links(run: Frames) -> CaptionedFigure:
    """The network, and what its links carried on each path."""
    return drawn(run, "links")


def congestion(run: Frames) -> CaptionedFigure:
    """Congestion windows, round-trip times and retransmissions of the connections in time."""
    return drawn(run, "congestion")


def iterations(run: Frames) -> CaptionedFigure:
    """How long each iteration took, in their order, warm-up included."""

    seconds = kind_of_seconds([run.run.config.clock or ""])

    def paint(axes: Axes) -> str:
        rows = run.samples
        if run.run.manifest.measure.size_is_key:
            rows = rows[rows["size_bytes"] == rows["size_bytes"].max()]
        paths = list(dict.fromkeys((*(run.run.config.paths or ()), *rows["path"].unique())))
        for path in paths:
            of_path = rows[rows["path"] == path]
            keys = [of_path[name] for name in ("repetition", "iteration", "warmup")]
            time_ms = 1e3 * of_path.groupby(keys)["time_s"].mean()
            warm = time_ms.index.get_level_values("warmup") == 1
            colour, places = colour_of(path, paths), range(1, len(time_ms) + 1)
            axes.plot(places, time_ms, color=colour, linewidth=1, alpha=0.5)
            for chosen, face in ((~warm, colour), (warm, "white")):
                at = [place for place, is_one in zip(places, chosen, strict=True) if is_one]
                label = plain(path) if face == colour else None
                axes.plot(at, time_ms[chosen], linestyle="none", marker=marker_of(path), color=colour,
                          markerfacecolor=face, label=label)  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("iteration of the path, all repetitions one after the other (number)")
        axes.set_ylabel("time, mean over ranks (ms)")
        axes.set_title("Time of each iteration")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        # A fixed place: matplotlib's own choice looks at every point, and warns if that has taken a second.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(paths), fontsize=8.5,
                    borderaxespad=0.2, handlelength=1, handletextpad=0.4, columnspacing=1)  # fmt: skip
        return f"{seconds}, at the largest size. Hollow: warm-up, from which no time is taken."

    if run.samples.empty:
        raise ResultsError(f"run {run.name} has no iteration; repeat it")
    return painted(lambda figure: paint(figure.add_subplot()))
