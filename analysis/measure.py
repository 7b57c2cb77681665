"""What a workload measures, as manifest.json says it: how rows are summed up, what is shown, by which words.

In: manifest.json's `measure`. Out: a checked record. Owns nothing. workloads/measure.py writes the same
fields; a test holds the two against each other. Analysis asks this record and never a workload's name.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

Column = Literal[
    "size", "count", "type", "redop", "root", "path", "time", "algbw", "busbw", "busbw_interval",
    "goodput", "both_ways", "goodput_interval", "retransmits", "wrong", "dram", "verdict",
    "compute", "exposed", "operations", "p50", "p95", "p99", "predicted", "setup", "stall",
]  # fmt: skip


_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class Rate:
    """A bandwidth as it is shown. `per_GB_per_s`: units in a GB/s of busbw. `decimals`: in a sentence."""

    name: str
    unit: str
    per_GB_per_s: int
    decimals: int

    def told(self, value: float) -> str:
        """`value` with three digits at least: a slow link's rate is no 0.09."""
        return rounded(value, self.decimals)


def rounded(value: float, decimals: int) -> str:
    """With that many decimals, or as many as three digits need."""
    needed = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{min(max(decimals, needed), _DECIMALS)}f}"


def size_text(size_bytes: float) -> str:
    """1048576 -> 1 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024 or unit == "GiB":
            break
        size_bytes /= 1024
    return f"{size_bytes:.4g} {unit}"


RATES = {"busbw": Rate("bus bandwidth", "GB/s", 1, 3), "goodput": Rate("goodput", "Gbit/s", 8, 2)}


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

    columns: Annotated[tuple[Column, ...], msgspec.Meta(min_length=1, max_length=32)]
    size_is_key: bool
    timed: Literal["mean", "all", "receivers"]
    rate: Literal["busbw", "goodput"]
    bandwidth_factor: Annotated[float, msgspec.Meta(ge=0, le=1e6)]
    ranks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    checked: Literal["whole", "sample"]
    headline: str = ""
    figure_title: str = ""

    @property
    def shown_rate(self) -> Rate:
        """The words and the unit of `rate`."""
        return RATES[self.rate]
