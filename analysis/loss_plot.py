"""What was lost and sent again, and how full page pools became.

In: summary rows of the size that paths are compared by, how each path looks. Out: a painted figure and its
caption. Owns which counters are shown: those that counted anything.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.memory_plots import Looks
from analysis.style import lighter
from analysis.summary import SummaryRow, paths_of

# What counts packets that did not arrive, and how a reader calls it.
COUNTERS = {
    "tcp_retrans_segs": "retransmitted",
    "rx_alloc_fail": "no buffer",
    "rx_hw_drops": "dropped by the NIC",
    "rx_hw_drop_overruns": "of these, ring full",
    "link_drops": "dropped by links",
}


def counted(rows: Sequence[SummaryRow]) -> list[str]:
    """Counters that are not 0 in all rows."""
    return [name for name in COUNTERS if any(getattr(row, name) for row in rows)]


def has_something(rows: Sequence[SummaryRow]) -> bool:
    """Whether there is anything to be seen."""
    return bool(counted(rows)) or any(row.rx_pool_peak_share is not None for row in rows)


def paint(figure: Figure, rows: Sequence[SummaryRow], looks: Looks) -> str:
    """Counters on the left, pools on the right; either alone where there is nothing of the other."""
    counters, pools = counted(rows), [row for row in rows if row.rx_pool_peak_share is not None]
    panels = figure.subplots(1, bool(counters) + bool(pools), squeeze=False)[0]
    if counters:
        _paint_counters(panels[0], rows, counters, looks)
    if pools:
        _paint_pools(panels[-1], pools, looks)
    said = "Counted, at the size that paths are compared by, over all repetitions and hosts."
    if counters:
        said += " Packets or segments; Linux counts what path kernel retransmitted."
    if pools:
        said += " Of a page pool the fullest moment is shown; at 100 % packets find no buffer."
    return said


def _paint_counters(axes: Axes, rows: Sequence[SummaryRow], names: Sequence[str], looks: Looks) -> None:
    paths = paths_of(rows)
    wide = 0.8 / len(paths)
    for row in rows:
        beside = wide * (paths.index(row.path) - (len(paths) - 1) / 2)
        look = looks[row.path]
        for at, name in enumerate(names):
            value = getattr(row, name)
            name_once = look.label if at == 0 else None
            axes.barh([at + beside], [value or 0], 0.9 * wide, color=look.colour, label=name_once)
            text = " n/a" if value is None else f" {value}"
            axes.annotate(text, (value or 0, at + beside), va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [COUNTERS[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(getattr(row, name) or 0 for row in rows for name in names))
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", fontsize=8.5)
    axes.set_xlabel("packets (number)")
    axes.set_title("Lost and retransmitted")


def _paint_pools(axes: Axes, rows: Sequence[SummaryRow], looks: Looks) -> None:
    shares = [100 * (row.rx_pool_peak_share or 0) for row in rows]
    colours = [looks[row.path].colour for row in rows]
    axes.bar(range(len(rows)), shares, 0.5, color=lighter(colours), edgecolor=colours, linewidth=1.5)
    for at, share in enumerate(shares):
        axes.annotate(f"{share:.1f} %", (at, share), xytext=(0, 4), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(rows)), [looks[row.path].label.replace(" (", "\n(") for row in rows])
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(0, 115)
    axes.set_ylabel("highest occupancy (%)")
    axes.set_title("Page pools")
