"""The figures of host memory: its traffic over time, and the line rate from which on it holds bounce up.

In: a run, its summary rows, how each path looks. Out: figures drawn, captions. Owns what they show;
analysis/plots.py owns how figures look. Lines and areas are modelled, points are measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.bandwidth import GB
from analysis.crossover import UNLIMITED, Limits, Need, crossover, highest_rate
from analysis.fidelity import SIMULATED
from analysis.ledger import INTERVALS, LedgerRow, of_busiest_host, of_shown_trial
from analysis.load import Run
from analysis.measure import rounded
from analysis.memory_model import AS_COUNTED
from analysis.needs import dram_per_busbw_byte, need_of
from analysis.summary import SummaryRow

_GBIT = 1e9 / 8
_GREY = "#666666"
_CURVE = 121
_RATES = (1e-9, 1e15)  # beyond which nobody looks


@dataclass(frozen=True, slots=True)
class Look:
    """How a path is drawn, and named."""

    label: str
    colour: str
    marker: str


Looks = Mapping[str, Look]


def trials_over_time(run: Run, summary: Sequence[SummaryRow]) -> list[tuple[str, list[LedgerRow]]]:
    """What `over_time` shows; nothing of a run that recorded nothing, or whose trials are too short."""
    trials = list(_trials(run, summary))
    return trials if any(len(rows) >= INTERVALS for _, rows in trials) else []


def compared_needs(rows: Sequence[SummaryRow]) -> dict[str, Need]:
    """What devmem and bounce need, of rows of one size; none where the two have no crossover."""
    found = {row.path: need for row in rows if (need := need_of(row)) is not None}
    if not {"devmem", "bounce"} <= found.keys() or not 0 < found["devmem"].dram < found["bounce"].dram:
        return {}
    return {path: found[path] for path in ("devmem", "bounce")}


def _trials(run: Run, summary: Sequence[SummaryRow]) -> Iterator[tuple[str, list[LedgerRow]]]:
    """Of each path the trial that is shown, by its busiest host."""
    for path in dict.fromkeys(row.path for row in summary):
        yield path, of_busiest_host(of_shown_trial(run.ledger, path), run.memory_model)


def over_time(
    figure: Figure, trials: Sequence[tuple[str, Sequence[LedgerRow]]], run: Run, looks: Looks
) -> str:
    memory, network = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for path, rows in trials:
        if not rows:
            continue
        edges = [rows[0].begin_s - rows[0].begin_s, *(row.end_s - rows[0].begin_s for row in rows)]
        moved = [row.traffic(run.memory_model).per(GB * max(row.seconds, 1e-6)) for row in rows]
        style: dict[str, Any] = {"color": looks[path].colour, "linewidth": 1.6, "label": looks[path].label}
        memory.stairs([each.dram for each in moved], edges, baseline=None, **style)
        network.stairs([8 * each.network_payload for each in moved], edges, baseline=None, **style)
    limit = run.config.host_mem_bw_bytes_per_s
    if limit:
        memory.axhline(limit / GB, color="black", linewidth=1, linestyle="--", label="ceiling")
    for axes, unit in ((memory, "host DRAM\n(GB/s)"), (network, "payload\n(Gbit/s)")):
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
    network.set_xlabel("seconds of the trial")
    memory.set_ylim(top=1.25 * memory.get_ylim()[1])  # room for the legend
    memory.set_title("Host DRAM traffic and payload over time, busiest host")
    memory.legend(loc="upper right", ncols=4, fontsize=9)
    return (
        "Modelled: what the ledger counted in each interval, reads and writes of host DRAM above, payload "
        f"through the host's NICs below ({run.memory_model.words}). The first repetition of the largest "
        "size, warm-up, filling and checking included."
    )


def crossover_of(
    axes: Axes, run: Run, measured: Sequence[SummaryRow], needs: Mapping[str, Need], looks: Looks
) -> str:
    """`needs`: of compared_needs. `measured`: rows under this run's ceiling, if it had one."""
    limit, pcie = run.config.host_mem_bw_bytes_per_s, run.config.pcie_bw_bytes_per_s or UNLIMITED
    low, high = (limit / 20, limit * 20) if limit else (1e9, 1e12)
    curve = [low * (high / low) ** (step / (_CURVE - 1)) for step in range(_CURVE)]
    for path, need in needs.items():
        rates = [_gbit_per_s(need, dram, pcie) for dram in curve]
        axes.plot([dram / GB for dram in curve], rates, color=looks[path].colour, linewidth=1.8)
        axes.annotate(
            f"{looks[path].label}, at most", (curve[_CURVE // 3] / GB, rates[_CURVE // 3]),
            xytext=(-4, 5), textcoords="offset points", ha="right", color=looks[path].colour, fontsize=9,
        )  # fmt: skip
    low_rates, high_rates = (
        [_gbit_per_s(needs[path], dram, pcie) for dram in curve] for path in ("bounce", "devmem")
    )
    shade: dict[str, Any] = {"color": _GREY, "alpha": 0.12, "linewidth": 0}
    axes.fill_between([dram / GB for dram in curve], low_rates, high_rates, **shade)
    middle = (curve[3 * _CURVE // 4] / GB, (low_rates[3 * _CURVE // 4] * high_rates[3 * _CURVE // 4]) ** 0.5)
    axes.annotate("bounce falls behind", middle, ha="center", va="center", color=_GREY, fontsize=10)
    said = _points(axes, measured, looks, limit)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:,.6g}" if value < 1 else f"{value:,.0f}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_formatter(plain)
    axes.set_xlim(low / GB, high / GB)
    axes.set_xlabel("bandwidth of host memory (GB/s)")
    axes.set_ylabel("rate each way (Gbit/s)")
    axes.set_title("Line rate at which bounce falls behind devmem")
    return f"{_said_of(needs, limit, pcie)}{said}{_model(run)}"


def _gbit_per_s(need: Need, dram: float, pcie: float) -> float:
    """The highest rate, as an axis can show it."""
    return min(max(highest_rate(need, Limits(dram, pcie)) / _GBIT, _RATES[0]), _RATES[1])


def ceiling(axes: Axes, rows: Sequence[SummaryRow], limit_bytes_per_s: float, looks: Looks) -> str:
    """Measured rates over what a byte of them costs, and what the ceiling allows."""
    known = [(row, need) for row in rows if (need := dram_per_busbw_byte(row))]
    needs = [need for _, need in known]
    low, high = min(needs) / 3, max(needs) * 3
    curve = [low * (high / low) ** (step / 200) for step in range(201)]
    axes.plot(curve, [limit_bytes_per_s / GB / need for need in curve], color="#444444", linewidth=1.5)
    for row, need in known:
        look = looks[row.path]
        axes.errorbar(
            [need], [row.busbw_GB_per_s], yerr=_whiskers(row, 1), color=look.colour, marker=look.marker,
            markersize=9, capsize=4, linestyle="none", label=look.label,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.35 * max(row.busbw_ci_high_GB_per_s or row.busbw_GB_per_s for row, _ in known))
    axes.set_xlabel("host DRAM bytes per byte of bus bandwidth, busiest host (modelled)")
    axes.set_ylabel(f"bus bandwidth (GB/s, {_kind(rows)})")
    axes.set_title(f"Bus bandwidth under a host-memory ceiling of {limit_bytes_per_s / GB:g} GB/s")
    axes.legend(title="on or under the line:\nwhat the ceiling allows", title_fontsize=8.5)
    return (
        f"Each host's emulated memory moves at most {limit_bytes_per_s / GB:g} GB/s. A path on the line is "
        "limited by host memory, a path well under it by something else. On the kernel path "
        "the application waits for what is derived of Linux's traffic."
    )


def _whiskers(row: SummaryRow, factor: float) -> tuple[list[float], list[float]]:
    """Lengths below and above the median of busbw, times `factor`; 0 where there is no interval."""
    low, high = row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s
    below = 0.0 if low is None else max(0.0, row.busbw_GB_per_s - low)
    above = 0.0 if high is None else max(0.0, high - row.busbw_GB_per_s)
    return [below * factor], [above * factor]


def _points(axes: Axes, measured: Sequence[SummaryRow], looks: Looks, limit: float | None) -> str:
    """What was measured under this run's own ceiling."""
    if not limit:
        return " This run had no ceiling of host memory (--host-mem-bw), so it is no point here."
    for row in measured:
        look = looks[row.path]
        axes.errorbar(
            [limit / GB], [8 * row.busbw_GB_per_s], yerr=_whiskers(row, 8), color=look.colour,
            marker=look.marker, markersize=9, capsize=4, linestyle="none",
            label=f"{look.label}, {_kind(measured)}",
        )  # fmt: skip
    axes.legend(loc="lower right", fontsize=9)
    return f" Points are {_kind(measured)}: this run's rates under its own ceiling."


def _kind(rows: Sequence[SummaryRow]) -> str:
    return "in simulated seconds" if any(row.verdict == SIMULATED for row in rows) else "measured"


def _said_of(needs: Mapping[str, Need], limit: float | None, pcie: float) -> str:
    text = (
        "Lines are modelled: the highest rate that host memory of that bandwidth allows a path, by its DRAM "
        f"traffic in this run ({needs['bounce'].dram:.3f} and {needs['devmem'].dram:.4f} bytes for each byte "
        "of rate each way)"
    )
    text += f", and a PCIe switch of {pcie / GB:g} GB/s each way. " if pcie < UNLIMITED else ". "
    text += "Between the lines the line's rate is devmem's and no longer bounce's."
    at = crossover(needs["bounce"], needs["devmem"], Limits(limit, pcie)) if limit else None
    if limit and at is not None:
        text += f" At {limit / GB:g} GB/s that begins at {rounded(at / _GBIT, 2)} Gbit/s."
    return text


def _model(run: Run) -> str:
    if run.memory_model == AS_COUNTED:
        return ""
    return f" Assumed: {run.memory_model.words}; the run's own ceiling served what the ledger counts."
