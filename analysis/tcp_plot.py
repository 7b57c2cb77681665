"""Congestion control in time: windows, round-trip times and retransmissions of the connections of a run.

In: rows of tcp_info.csv. Out: a painted figure and its caption. Owns which connections are shown: of each
path those of its last trial that carry payload, in order, as many as are still told apart.
"""

import analysis.matplotlib_defaults  # noqa: F401  before anything of matplotlib's: without a user's settings

# isort: split
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.network_plot import plain
from analysis.style import GREY, colour_of
from analysis.tcp_info import TcpInfoRow

CONNECTIONS = 4  # of a path
_SHARE = 0.01  # of what the busiest connection sent
_HEIGHT_INCHES = 6.4
_DASHES = ("-", "--", ":", "-.")

Connection = tuple[int, int, int]  # rank, peer, flow


def shown(rows: Sequence[TcpInfoRow]) -> dict[str, dict[Connection, list[TcpInfoRow]]]:
    """Of each path the connections that carry payload in its last trial: at the largest size, in the last
    repetition. One that only took payload has sent next to nothing."""
    found: dict[str, dict[Connection, list[TcpInfoRow]]] = {}
    for path in dict.fromkeys(row.path for row in rows):
        of_path = [row for row in rows if row.path == path]
        last = max((row.size_bytes, row.repetition) for row in of_path)
        connections: dict[Connection, list[TcpInfoRow]] = {}
        for row in of_path:
            if (row.size_bytes, row.repetition) == last:
                connections.setdefault((row.rank, row.peer, row.flow), []).append(row)
        most = max(map(_acknowledged, connections.values()))
        carrying = [key for key in sorted(connections) if _acknowledged(connections[key]) >= _SHARE * most]
        found[path] = {key: connections[key] for key in carrying[:CONNECTIONS]}
    return found


def _acknowledged(rows: Sequence[TcpInfoRow]) -> int:
    return rows[-1].bytes_acked - rows[0].bytes_acked


def paint(figure: Figure, rows: Sequence[TcpInfoRow], labels: Mapping[str, str], seconds: str) -> str:
    """A column of panels: windows, round-trip time, retransmitted segments. `labels` of the paths. The
    caption begins with `seconds`."""
    figure.set_figheight(_HEIGHT_INCHES)
    windows, trips, retransmitted = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1, 1))
    paths = [path for path in labels if any(row.path == path for row in rows)]
    of_paths = shown(rows)
    for path in paths:
        connections = of_paths[path]
        zero = min(row.time_s for of_one in connections.values() for row in of_one)
        colour = colour_of(path, paths)
        for at, of_one in enumerate(connections.values()):
            line = {"color": colour, "linestyle": _DASHES[at % len(_DASHES)], "linewidth": 1.4}
            times = [row.time_s - zero for row in of_one]
            _plot(windows, times, [row.cwnd_segs for row in of_one], line)
            _plot(windows, times, [row.ssthresh_segs for row in of_one], line | {"alpha": 0.4})
            _plot(trips, times, [row.srtt_us and row.srtt_us / 1e3 for row in of_one], line)
            first = of_one[0].total_retrans_segs
            _plot(retransmitted, times, [row.total_retrans_segs - first for row in of_one], line)
    _label(windows, trips, retransmitted)
    windows.legend(handles=_legend(paths, labels), fontsize=8.5, ncols=3, loc="lower left",
                   bbox_to_anchor=(0, 1.0), borderaxespad=0.1)  # fmt: skip
    windows.set_title("Congestion windows, round-trip times and retransmissions", pad=44)
    return (
        f"{seconds}, by TCP_INFO, which both stacks fill in alike: the congestion window and, paler, the "
        "slow start threshold from the first loss on; the smoothed round-trip time; segments sent again so "
        f"far. Of each path its last trial, which begins at 0, and {CONNECTIONS} connections at most that "
        "carry payload, told apart by their dashes."
    )


def _plot(axes: Axes, seconds: Sequence[float], values: Sequence[float | None], line: dict[str, Any]) -> None:
    """Steps: a value holds until the next sample. Nothing where a value is unknown."""
    known = [(at, value) for at, value in zip(seconds, values, strict=True) if value is not None]
    if known:
        axes.step(*zip(*known, strict=True), where="post", **line)


def _label(windows: Axes, trips: Axes, retransmitted: Axes) -> None:
    windows.set_ylabel("window (segments)")
    trips.set_ylabel("smoothed RTT (ms)")
    retransmitted.set_ylabel("sent again\n(segments)")
    retransmitted.set_xlabel("time (s)")
    for axes in (windows, trips, retransmitted):
        axes.set_ylim(bottom=0)


def _legend(paths: Sequence[str], labels: Mapping[str, str]) -> list[Line2D]:
    named = [Line2D([], [], color=colour_of(path, paths), label=plain(labels[path])) for path in paths]
    return [
        *named,
        Line2D([], [], color=GREY, label="congestion window"),
        Line2D([], [], color=GREY, alpha=0.4, label="slow start threshold"),
    ]
