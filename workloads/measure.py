"""What a workload measures: the record in manifest.json that tells analysis/ how to read the rows.

In: what a workload declares. Out: manifest.json's `measure`. Owns nothing. analysis/measure.py has the same
fields; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Column = Literal[
    "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw_interval",
    "goodput", "both_ways", "goodput_interval", "retransmits", "wrong", "dram", "verdict",
    "compute", "exposed", "operations", "p50", "p95", "p99", "predicted", "setup", "stall",
]  # fmt: skip


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How the rows of one run are summed up.

    `columns`: those of the printed table, in order. `both_ways` is left out where all bytes went one way,
    `predicted` where nothing was.
    `size_is_key`: rows of equal size belong together; False where the size is itself a result.
    `timed`: whose time is an iteration's. "mean" is the mean over all ranks, as nccl-tests has it; "all" is
    from the first one's start to the last one's end; "receivers" are the ranks that received payload, each
    with its own bytes and its own time.
    `rate`: "busbw" is bus bandwidth in GB/s, "goodput" is payload in Gbit/s.
    `bandwidth_factor`: busbw / algbw for this run's number of ranks.
    `ranks`: how many ranks' rows make an iteration complete.
    `checked`: the "whole" result is compared with what was expected, or a "sample" of the received bytes.
    `headline`: how the report's sentences begin; "" for "At <size>".
    `figure_title`: title of the rate's figure; "" for one made of workload, size and ranks.
    """

    columns: tuple[Column, ...]
    size_is_key: bool
    timed: Literal["mean", "all", "receivers"]
    rate: Literal["busbw", "goodput"]
    bandwidth_factor: float
    ranks: int
    checked: Literal["whole", "sample"]
    headline: str = ""
    figure_title: str = ""
