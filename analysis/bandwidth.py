"""From measured rows to seconds a byte, of which every bandwidth is the inverse.

In: measured rows of one path and size, and what the workload measures. Out: seconds a byte, by repetition.
Owns nothing. The conventions are nccl-tests' (doc/PERFORMANCE.md): algbw = S / t, in decimal GB/s; busbw =
algbw times the measure's factor, which makes the number comparable with a link's speed whatever the number of
ranks. t is the mean over ranks, as nccl-tests' default is, unless the measure times receivers.
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
    one_iteration = _receivers if measure.timed == "receivers" else _mean_of_ranks
    found: dict[int, list[float]] = {}
    for repetition, of_repetition in rows.groupby("repetition"):
        values = found.setdefault(int(str(repetition)), [])
        values.extend(one_iteration(ranks) for _, ranks in of_repetition.groupby("iteration"))
    return {repetition: np.array(values) for repetition, values in found.items()}


def _mean_of_ranks(ranks: pd.DataFrame) -> float:
    return float(ranks["time_s"].mean()) / max(1.0, float(ranks["size_bytes"].iloc[0]))


def _receivers(ranks: pd.DataFrame) -> float:
    """Goodput is what was received: bytes over time at each receiver, averaged over the receivers."""
    receivers = ranks[ranks["payload_received_bytes"] > 0]  # at least one: load leaves other iterations out
    return 1 / float((receivers["payload_received_bytes"] / receivers["time_s"]).mean())


def directions(rows: pd.DataFrame, measure: Measure) -> int:
    """How many receivers were timed; 1 where the mean over ranks is."""
    if measure.timed != "receivers":
        return 1
    return int(rows.loc[rows["payload_received_bytes"] > 0, "rank"].nunique())
