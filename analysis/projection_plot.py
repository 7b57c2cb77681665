"""A projection as a figure: what each path needs of host memory, and how long a collective takes.

In: a projection. Out: a PNG or SVG file. Owns what it shows; colours and style are those of every figure
(analysis/plots.py). The figure says in itself that it is a projection.
"""

from analysis.matplotlib_defaults import MATPLOTLIB as mpl

# isort: split
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.measure import size_text
from analysis.projection import cost
from analysis.projection_text import Projection
from analysis.style import DPI, MARKERS, PATH_COLOURS, STYLE, WIDTH

_HEIGHT = 4.6
_RATES = 60
_NICS = (1, 2, 4, 8)


def write(projection: Projection, path: Path) -> None:
    """Raises OSError."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**STYLE, "svg.hashsalt": "projection"})
        figure = Figure(figsize=(2.2 * WIDTH, _HEIGHT), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        needs, wall, times = figure.subplots(1, 3)
        _needs(needs, projection)
        crossover_map(wall, projection)
        _times(times, projection)
        figure.suptitle(f"Projection, nothing measured. {projection.machine.name}", x=0.01, ha="left")
        known = {".svg": {"Date": None}, ".png": {"Software": None}}
        figure.savefig(path, metadata=known[path.suffix])


def _needs(axes: Axes, projection: Projection) -> None:
    """DRAM of a host against the rate of its NICs, up to the line's."""
    line = projection.machine.nic_bits_per_s * projection.wire.payload_share / 1e9
    top = projection.machine.dram_bytes_per_s / 1e9
    for each in projection.paths:
        if each.path == "kernel":  # as bounce
            continue
        label = "bounce, kernel" if each.path == "bounce" else each.path
        rates = [line * step / _RATES for step in range(_RATES + 1)]
        needs = [each.needs_dram_GB_per_s * rate / line for rate in rates]
        axes.plot(rates, needs, color=PATH_COLOURS[each.path], linewidth=1.8, label=label)
        at = each.saturates_dram_gbit_per_s
        if at < line:
            axes.plot([at], [top], color=PATH_COLOURS[each.path], marker="x", markersize=9, mew=2)
    axes.axhline(top, color="black", linewidth=1, linestyle="--", label="what the host has")
    axes.set_xlim(0, 1.02 * line)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("payload of each NIC, each way (Gbit/s)")
    axes.set_ylabel("host DRAM (GB/s)")
    axes.set_title("What the paths need of host memory")
    axes.legend(loc="upper left", fontsize=9)


def crossover_map(axes: Axes, projection: Projection) -> None:
    """Line rate, NICs and host DRAM at which bounce falls behind: below a line it does, above it the line of
    the NICs is the limit for every path."""
    machine, wire = projection.machine, projection.wire
    dram = cost("bounce", wire, projection.model).dram
    rates = [100, 200, 400, 800]
    for nics, style in zip(_NICS, ("-", "--", "-.", ":"), strict=True):
        needed = [dram * nics * rate / 8 * wire.payload_share for rate in rates]
        label = f"{nics} NIC{'s' * (nics > 1)}"
        axes.plot(rates, needed, color=PATH_COLOURS["bounce"], linestyle=style, linewidth=1.8, label=label)
    here = machine.nic_bits_per_s / 1e9, machine.dram_bytes_per_s / 1e9
    axes.plot(*here, color="black", marker="o", linestyle="", label=f"this machine, {machine.nics} NICs")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(rates)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel("line rate of each NIC, each way (Gbit/s)")
    axes.set_ylabel("host DRAM (GB/s)")
    axes.set_title("Below its line bounce falls behind devmem")
    axes.legend(loc="upper left", fontsize=9)


def _times(axes: Axes, projection: Projection) -> None:
    """Time of the collective against the number of accelerators."""
    for path in ("devmem", "bounce"):
        rows = [each for each in projection.collectives if each.path == path]
        label = "bounce, kernel" if path == "bounce" else path
        axes.plot(
            [each.accelerators for each in rows], [1e3 * each.seconds for each in rows],
            color=PATH_COLOURS[path], marker=MARKERS[path], linewidth=1.8, label=label,
        )  # fmt: skip
    counts = sorted({each.accelerators for each in projection.collectives})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts[:: 1 + len(counts) // 7])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.3e3 * max(each.seconds for each in projection.collectives))
    axes.set_xlabel("accelerators")
    axes.set_ylabel("time (ms)")
    axes.set_title(f"{projection.collective} of {size_text(projection.size_bytes)}, bytes alone")
    axes.legend(loc="upper right", fontsize=9)
