"""The columns of a summary row that say how its ranks and their hosts did, beside the row's bandwidth.

In: measured rows of one path, size and place. Out: values by column. Owns how they are put together. None
where what they need was not recorded, or is not of that path.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.bandwidth import GB
from analysis.host_memory import added, payload_bytes, per, total
from analysis.measure import Measure

ENDPOINTS = "the endpoints' processes"
SYSTEM_TIME = "the ranks' system time; softirq is apart, and Linux may count a part of it in both"
NOT_RECORDED = "the run did not record it"


def rank_columns(rows: pd.DataFrame, measure: Measure, path: str) -> Mapping[str, float | None]:
    """All of them but `network_cpu_of`."""
    timed = rows[rows["payload_received_bytes"] > 0] if measure.timed == "receivers" else rows
    return {
        **_times(timed),
        **_pattern(rows),
        **_tokens(rows),
        "rx_pool_peak_share": _largest(rows["rx_pool_peak_share"]),
        **_cpu(rows, path),
    }


def _times(timed: pd.DataFrame) -> dict[str, float | None]:
    """`timed`: of the ranks whose time counts. The spread is the last rank's time less the first one's."""
    columns: dict[str, float | None] = {
        f"rank_time_p{percent}_us": 1e6 * float(np.percentile(timed["time_s"], percent))
        for percent in (50, 95, 99)
    }
    of_iteration = timed["time_s"].groupby(iteration_of(timed))
    spread = (of_iteration.max() - of_iteration.min())[of_iteration.size() > 1]
    for percent in (50, 95):
        found = None if spread.empty else 1e6 * float(np.percentile(spread, percent))
        columns[f"straggler_spread_p{percent}_us"] = found
    return columns


def _pattern(rows: pd.DataFrame) -> dict[str, float | None]:
    """Means over the ranks that compute, or that have operations, and then medians over the iterations."""
    computing = rows.dropna(subset=["compute_s"])
    asking = rows.dropna(subset=["operations"])
    exposed = (computing["time_s"] - computing["compute_s"]).clip(lower=0.0)
    overlapping = computing.dropna(subset=["overlapped_s"])
    rates = (asking["operations"] / asking["time_s"]).groupby(iteration_of(asking)).sum()
    return {
        "compute_us": _median_us(computing["compute_s"], computing),
        "exposed_us": _median_us(exposed, computing),
        "overlapped_us": _median_us(overlapping["overlapped_s"], overlapping),
        **_loading(rows),
        "operations_per_s": None if rates.empty else float(rates.median()),
        **{
            name: _median_us(asking[name] / 1e6, asking)
            for name in ("latency_p50_us", "latency_p95_us", "latency_p99_us")
        },
    }


def _loading(rows: pd.DataFrame) -> dict[str, float | None]:
    """Of the ranks whose computations are fed with data. The training loop's time is that behind setup."""
    fed = rows.dropna(subset=["setup_s", "stalled_s"])
    seconds = pd.DataFrame({"stalled": fed["stalled_s"], "loop": fed["time_s"] - fed["setup_s"]})
    sums = seconds.groupby(iteration_of(fed)).sum()
    shares = (sums["stalled"] / sums["loop"])[sums["loop"] > 0]
    return {
        "setup_us": _median_us(fed["setup_s"], fed),
        "stall_share": None if shares.empty else float(shares.median()),
    }


def _tokens(rows: pd.DataFrame) -> dict[str, float | None]:
    """Percentiles likewise, of ranks that returned tokens; the longest of all."""
    holding = rows.dropna(subset=["token_return_max_us"])
    percentiles = ("token_return_p50_us", "token_return_p95_us", "token_return_p99_us")
    return {
        **{name: _median_us(holding[name] / 1e6, holding) for name in percentiles},
        "token_return_max_us": _largest(holding["token_return_max_us"]),
    }


def network_cpu_of(rows: pd.DataFrame, path: str) -> str:
    """Whose CPU time `network_cpu_s_per_GB` is, or why there is none."""
    if total(rows, "app_system_cpu_s" if path == "kernel" else "endpoint_cpu_s") is None:
        return NOT_RECORDED
    return SYSTEM_TIME if path == "kernel" else ENDPOINTS


def _cpu(rows: pd.DataFrame, path: str) -> dict[str, float | None]:
    """A GB is one of payload sent or received. The stack of path `kernel` runs in its ranks' system calls and
    in softirq, that of the others in the endpoints."""
    payload_GB = per(payload_bytes(rows), GB)
    app, endpoint = total(rows, "app_cpu_s"), total(rows, "endpoint_cpu_s")
    system, softirq = total(rows, "app_system_cpu_s"), _softirq(rows)
    user = None if app is None or system is None else app - system
    # On the kernel path the endpoint carries nothing; elsewhere an unknown share makes the sum unknown.
    cpu = app if path == "kernel" and endpoint is None else added(app, endpoint)
    application, network = (user, system) if path == "kernel" else (app, endpoint)
    return {
        "cpu_s_per_GB": per(cpu, payload_GB),
        "app_cpu_s_per_GB": per(app, payload_GB),
        "endpoint_cpu_s_per_GB": per(endpoint, payload_GB),
        "app_user_cpu_s_per_GB": per(user, payload_GB),
        "app_system_cpu_s_per_GB": per(system, payload_GB),
        "softirq_cpu_s_per_GB": per(softirq, payload_GB),
        "application_cpu_s_per_GB": per(application, payload_GB),
        "network_cpu_s_per_GB": per(network, payload_GB),
    }


def _softirq(rows: pd.DataFrame) -> float | None:
    """The machine's. All ranks read the same counter, so the largest reading is the iteration's."""
    seconds = rows["machine_softirq_s"]
    if seconds.empty or seconds.isna().any():
        return None
    return float(seconds.groupby(iteration_of(rows)).max().sum())


def _largest(values: "pd.Series[float]") -> float | None:
    """None if none is known."""
    return None if values.isna().all() else float(values.max())


def _median_us(seconds: "pd.Series[float]", rows: pd.DataFrame) -> float | None:
    means = seconds.groupby(iteration_of(rows)).mean()
    return None if means.empty else 1e6 * float(means.median())


def iteration_of(rows: pd.DataFrame) -> list["pd.Series[int]"]:
    """What rows of one iteration have in common."""
    return [rows["repetition"], rows["iteration"]]
