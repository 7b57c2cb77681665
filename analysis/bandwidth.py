"""In: measured rows of one path and size. Out: algbw, busbw and goodput, decimal GB/s. Owns nothing.

The conventions are nccl-tests' (doc/PERFORMANCE.md): algbw = S / t; busbw = algbw x a factor that makes
the number comparable with a link's speed whatever the number of ranks. t is the mean over ranks, as
nccl-tests' default is. S is the whole array, for all_gather and reduce_scatter too.
"""

import numpy as np
import pandas as pd

from analysis.load import STREAM, ResultsError
from analysis.statistics import Floats

GB = 1e9
SHARE_OF_OTHERS = frozenset({"reduce_scatter", "all_gather", "all_to_all", "gather", "scatter"})
WHOLE = frozenset({"broadcast", "reduce", "sendrecv", STREAM})


def busbw_factor(workload: str, nranks: int) -> float:
    """busbw / algbw of `workload` on `nranks` ranks; ResultsError for a workload without a known factor."""
    if nranks < 1:
        raise ResultsError(f"{nranks} ranks cannot run {workload}; at least 1 is needed")
    if workload == "all_reduce":
        return 2 * (nranks - 1) / nranks
    if workload in SHARE_OF_OTHERS:
        return (nranks - 1) / nranks
    if workload in WHOLE:
        return 1.0
    known = ", ".join(sorted({"all_reduce"} | SHARE_OF_OTHERS | WHOLE))
    raise ResultsError(f"workload {workload!r} has no bus-bandwidth factor; known are {known}")


def algbw(size_bytes: float, time_s: float) -> float:
    """GB/s (1e9 bytes) of `size_bytes` in `time_s` seconds."""
    return size_bytes / time_s / GB


def seconds_per_byte(rows: pd.DataFrame) -> dict[int, Floats]:
    """Seconds a byte of every iteration in `rows` (one path, one size), grouped by repetition.

    A time per byte serves collectives (same bytes, varying time) and streams (same time, varying bytes)
    alike: its median gives a time, an algbw and a busbw that agree with each other.
    """
    one_iteration = _stream_iteration if (rows["workload"] == STREAM).all() else _collective_iteration
    found: dict[int, list[float]] = {}
    for repetition, of_repetition in rows.groupby("repetition"):
        values = found.setdefault(int(str(repetition)), [])
        values.extend(one_iteration(ranks) for _, ranks in of_repetition.groupby("iteration"))
    return {repetition: np.array(values) for repetition, values in found.items()}


def _collective_iteration(ranks: pd.DataFrame) -> float:
    return float(ranks["time_s"].mean()) / float(ranks["size_bytes"].iloc[0])


def _stream_iteration(ranks: pd.DataFrame) -> float:
    """Goodput is what arrived: bytes over time at each receiver, both directions averaged with --bidir."""
    receivers = ranks[ranks["payload_received_bytes"] > 0]  # never none: load leaves such iterations out
    return 1 / float((receivers["payload_received_bytes"] / receivers["time_s"]).mean())


def directions(rows: pd.DataFrame) -> int:
    """How many ranks of a stream received: 1, or 2 with --bidir. 1 for collectives."""
    if not (rows["workload"] == STREAM).all():
        return 1
    return int(rows.loc[rows["payload_received_bytes"] > 0, "rank"].nunique())
