"""How full each host's page pools were over time.

In: a run's ledger.csv, how each path looks. Out: a painted figure and its caption. Owns which hosts are
shown: those whose pools became fullest.
"""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.ledger import INTERVALS, LedgerRow, of_shown_trial
from analysis.load import Run
from analysis.memory_plots import Looks
from analysis.network_plot import plain
from analysis.style import HEIGHT
from analysis.summary import SummaryRow

_HOSTS = 6
_HOST_HEIGHT, _AROUND = 0.9, 1.2  # inches

Courses = Mapping[str, Mapping[str, Sequence[LedgerRow]]]


def courses(run: Run, summary: Sequence[SummaryRow]) -> Courses:
    """By host and path, the intervals of a trial; nothing of a run that recorded no page pool, or whose
    trials are too short."""
    found: dict[str, dict[str, list[LedgerRow]]] = {}
    for path in dict.fromkeys(row.path for row in summary):
        for row in of_shown_trial(run.ledger, path):
            if row.rx_pool_peak_share is not None:
                found.setdefault(row.host, {}).setdefault(path, []).append(row)
    lengths = [len(rows) for paths in found.values() for rows in paths.values()]
    return found if max(lengths, default=0) >= INTERVALS else {}


def paint(figure: Figure, hosts: Courses, looks: Looks) -> str:
    """A panel a host, all of one scale."""
    fullest = sorted(hosts, key=lambda host: -_peak(hosts[host]))[:_HOSTS]
    shown = [host for host in hosts if host in fullest]
    figure.set_figheight(max(HEIGHT, _AROUND + _HOST_HEIGHT * len(shown)))
    top = min(105.0, max(1.0, 130 * max(map(_peak, hosts.values()))))
    panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, host in zip(panels, shown, strict=True):
        for path, rows in hosts[host].items():
            edges = [0.0, *(row.end_s - rows[0].begin_s for row in rows)]
            shares = [100 * (row.rx_pool_peak_share or 0.0) for row in rows]
            look = looks[path]
            axes.stairs(shares, edges, baseline=None, color=look.colour, linewidth=1.6, label=look.label)
        axes.set_ylabel(f"{plain(host)} (%)")
        axes.set_ylim(0, top)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=9, borderaxespad=0.1)
    panels[0].set_title("Page pools over time")
    panels[-1].set_xlabel("seconds of the trial")
    left = len(hosts) - len(shown)
    return (
        "Counted: the highest share of an rx queue's memory that packets in the stack and tokens of the "
        "application held at once in each interval, of all queues of a host; at 100 % packets find no "
        "buffer. "
        "The first repetition of the largest size, warm-up included."
        + (
            f" The {len(shown)} hosts whose pools became fullest; {left} others are in ledger.csv."
            if left
            else ""
        )
    )


def _peak(paths: Mapping[str, Sequence[LedgerRow]]) -> float:
    return max(row.rx_pool_peak_share or 0.0 for rows in paths.values() for row in rows)
