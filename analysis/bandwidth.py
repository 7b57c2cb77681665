"""From measured rows to seconds a byte, of which every bandwidth is the inverse.

In: measured rows of one path and size, and what the workload measures. Out: seconds a byte, by repetition.
Owns nothing. The conventions are nccl-tests' (doc/PERFORMANCE.md): algbw = S / t, in decimal GB/s; busbw =
algbw times the measure's factor, which makes the number comparable with a link's speed whatever the number of
ranks. t is the mean over ranks, as nccl-tests' default is, unless the measure times receivers, or all
ranks together.
"""

import numpy as np
import pandas as pd

from analysis.measure import Measure
from analysis.statistics import Floats

GB = 1e9


def algbw(size_bytes: float, time_s: float) -> float:
    """GB/s (1e9 bytes) of `size_bytes` in `time_s` seconds."""
    return size_bytes / time_s / GB


def seconds_per_byte(rows: pd.DataFrame, measure: Measure) -> dict[int, Floats]:
    """Seconds a byte of every iteration in `rows` (one path, one size), grouped by repetition.

    A time per byte serves workloads that move the same bytes in a varying time and those that move varying
    bytes in the same time: its median gives a time, an algbw and a busbw that agree with each other. An array
    of no bytes counts as one of a single byte.
    """
    paces = {"mean": _mean_of_ranks, "all": _all_ranks, "receivers": _receivers}[measure.timed](rows)
    return {int(str(key)): np.asarray(values, np.float64) for key, values in paces.groupby(level=0)}


def _mean_of_ranks(rows: pd.DataFrame) -> "pd.Series[float]":
    """By repetition and iteration."""
    iterations = rows.groupby(["repetition", "iteration"])
    return iterations["time_s"].mean() / iterations["size_bytes"].first().clip(lower=1)


def _all_ranks(rows: pd.DataFrame) -> "pd.Series[float]":
    """From the first rank's start to the last one's end: within it lies all that a line carried, so that no
    rate exceeds the line's. Where that was not recorded, the longest time of a rank."""
    iterations = rows.groupby(["repetition", "iteration"])
    span = iterations["end_s"].max() - iterations["start_s"].min()
    times = pd.concat([span, iterations["time_s"].max()], axis=1).max(axis=1)
    return times / iterations["size_bytes"].first().clip(lower=1)


def _receivers(rows: pd.DataFrame) -> "pd.Series[float]":
    """Goodput is what was received: bytes over time at each receiver, averaged over the receivers."""
    receivers = rows[rows["payload_received_bytes"] > 0]  # at least one: load leaves other iterations out
    rates = receivers["payload_received_bytes"] / receivers["time_s"]
    return 1 / rates.groupby([receivers["repetition"], receivers["iteration"]]).mean()


def directions(rows: pd.DataFrame, measure: Measure) -> int:
    """How many receivers were timed; 1 where the mean over ranks is."""
    if measure.timed != "receivers":
        return 1
    return int(rows.loc[rows["payload_received_bytes"] > 0, "rank"].nunique())
