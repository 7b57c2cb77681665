"""A run in time: what each iteration received, and when something was hurt on purpose.

In: a run, a colour a path. Out: a painted figure and its caption. Owns nothing. Rows without Unix times are
left out.
"""

from collections.abc import Mapping

from matplotlib.axes import Axes

from analysis.fidelity import kind_of_seconds
from analysis.load import Run
from analysis.manifest import FaultStep
from analysis.network_plot import plain

BEGIN, END = "#000000", "#999999"
_NAME_CHARACTERS, _CHARACTER = 24, 0.013  # at most, and one's share of the width
_KEY = ["path", "size_bytes", "repetition", "iteration"]


def has_faults(run: Run) -> bool:
    """Whether there is something to be seen in time."""
    return any(step.time_s is not None for step in run.manifest.faults)


def paint(axes: Axes, run: Run, colours: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """`labels` of the paths in `colours`."""
    seconds = kind_of_seconds([run.config.clock or ""])
    rows = run.samples.dropna(subset=["start_s", "end_s", "payload_received_bytes"])
    happened = sorted((each for each in run.manifest.faults if each.time_s is not None), key=_time)
    starts = [*rows["start_s"], *(step.time_s or 0.0 for step in happened)]
    zero = min(starts)
    for path, colour in colours.items():
        iterations = rows[rows["path"] == path].groupby(_KEY)
        begin, end = iterations["start_s"].min(), iterations["end_s"].max()
        rate = 8e-9 * iterations["payload_received_bytes"].sum() / (end - begin).clip(lower=1e-9)
        axes.hlines(rate, begin - zero, end - zero, colors=colour, linewidth=2.5, label=labels[path])
    top, (left, right) = axes.get_ylim()[1], axes.get_xlim()
    free = left
    for step in happened:
        at = (step.time_s or zero) - zero
        begins = step is _first(step.fault, run)
        axes.axvline(at, color=BEGIN if begins else END, linestyle="-" if begins else "--", linewidth=0.9)
        name = step.action[:_NAME_CHARACTERS]
        if at >= free:  # else it would stand on another
            axes.annotate(f" {plain(name)}", (at, 1.13 * top), va="center", fontsize=8)
            free = at + _CHARACTER * (len(name) + 2) * (right - left)
    axes.set_ylim(0, 1.2 * top)  # room for the names
    axes.set_xlabel("seconds")
    axes.set_ylabel("payload received, all ranks (Gbit/s)")
    axes.set_title("Iterations and faults in time")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(colours), borderaxespad=0.2)
    return (
        f"{seconds}. Each bar is one iteration, warm-up included, as high as its mean rate. Vertical lines "
        "are what was hurt on purpose: black where a fault begins, grey where one of its later steps is."
    )


def _time(step: FaultStep) -> float:
    return step.time_s or 0.0


def _first(fault: str, run: Run) -> object:
    return next(step for step in run.manifest.faults if step.fault == fault)
