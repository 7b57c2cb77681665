"""The columns of the text table: their words, units, meanings, and the form of their numbers.

In: summary rows. Out: texts. Owns the columns, of which docs/reference/columns.md is made. Those that are
shown only if they are asked for are analysis/wide_table.py's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analysis.measure import Column
from analysis.summary import SummaryRow

UNKNOWN = "n/a"


@dataclass(frozen=True, slots=True)
class Printed:
    """A column: its header's word, what its values mean, its text for a row, its unit, and on which side of
    the column the text stands. `width`: of a column on the left whose numbers stand under each other."""

    word: str
    meaning: str
    text: Callable[[SummaryRow], str]
    unit: str = ""
    side: Literal["left", "right"] = "right"
    width: int = 0

    @property
    def header(self) -> str:
        """Two lines: the word, and the unit."""
        unit = f"({self.unit})" if self.unit else ""
        return f"{self.word.rjust(self.width)}\n{unit.rjust(self.width)}"


def rate(value: float | None) -> str:
    """GB/s or Gbit/s."""
    return UNKNOWN if value is None else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """low..high, or n/a where one value gives no interval."""
    return UNKNOWN if low is None or high is None else f"{rate(low)}..{rate(high)}"


def goodput_interval(row: SummaryRow) -> str:
    """The interval of busbw in units of goodput: where goodput is shown, the two are the same rate."""
    low, high = row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s
    return interval(None if low is None else 8 * low, None if high is None else 8 * high)


def tenths(value: float | None) -> str:
    """With one decimal."""
    return UNKNOWN if value is None else f"{value:.1f}"


def count(value: int | None) -> str:
    """How many."""
    return UNKNOWN if value is None else str(value)


def per_byte(value: float | None) -> str:
    """Bytes per payload byte."""
    return UNKNOWN if value is None else f"{value:.4f}"


def _dram(row: SummaryRow) -> str:
    """The mark stands behind the column, so that digits stay under each other."""
    return per_byte(row.host_dram_bytes_per_payload_byte).rjust(7) + ("*" if row.derived else "")


def microseconds(word: str, meaning: str, value: Callable[[SummaryRow], float | None]) -> Printed:
    """A column of times with one decimal."""
    return Printed(word, meaning, lambda row: tenths(value(row)), "us")


PRINTED: dict[Column, Printed] = {
    "size": Printed(
        "size", "of the message: the whole array of a collective; of a stream, the payload that arrived",
        lambda row: str(row.size_bytes), "B",
    ),
    "count": Printed("count", "elements of the array", lambda row: str(row.count_elements), "elements"),
    "type": Printed(
        "type", "of an element: `float` (32 bits), `half`, `bfloat16`, `int32` or `byte`",
        lambda row: row.type,
    ),
    "redop": Printed(
        "redop", "the reduction: `sum`, `prod`, `min`, `max`, `avg`, or `none`", lambda row: row.redop
    ),
    "root": Printed("root", "rank of the root; -1: the collective has none", lambda row: row.root),
    "path": Printed(
        "path",
        "the path; in parentheses what limits the comparison: `devmem(RX-only)`, `kernel(clean-wire)`",
        lambda row: row.word, side="left",
    ),
    "time": Printed(
        "time",
        "measured: median over the iterations of all repetitions, each the mean over ranks; of a pattern "
        "from the first rank's start to the last one's end",
        lambda row: f"{row.time_us:.1f}", "us",
    ),
    "algbw": Printed("algbw", "size / time", lambda row: rate(row.algbw_GB_per_s), "GB/s"),
    "busbw": Printed(
        "busbw",
        "algbw times nccl-tests' factor, which makes it comparable with a link's speed: 2(n-1)/n for "
        "all_reduce on n ranks, (n-1)/n where a rank's own share stays, else 1",
        lambda row: rate(row.busbw_GB_per_s), "GB/s",
    ),
    "busbw_interval": Printed(
        "busbw 95 %",
        "95 % bootstrap interval of the median; n/a if there is one value only; of two places it is in the "
        "report",
        lambda row: interval(row.busbw_ci_low_GB_per_s, row.busbw_ci_high_GB_per_s), "GB/s",
    ),
    "goodput": Printed(
        "goodput", "payload that arrived, a second, in one direction",
        lambda row: rate(row.goodput_gbit_per_s), "Gbit/s",
    ),
    "both_ways": Printed(
        "both ways", "with `--bidir`: the sum of both directions", lambda row: rate(row.both_ways_gbit_per_s),
        "Gbit/s",
    ),
    "goodput_interval": Printed("goodput 95 %", "as busbw 95 %", goodput_interval, "Gbit/s"),
    "retransmits": Printed(
        "retr", "TCP segments sent again, as iperf3's Retr", lambda row: count(row.tcp_retrans_segs)
    ),
    "wrong": Printed(
        "#wrong",
        "elements of any rank's result that differ from the exact result, warm-up included. If any row has "
        "one, the exit status is 1",
        lambda row: count(row.wrong_elements),
    ),
    "dram": Printed(
        "DRAM",
        "modelled: host DRAM bytes read and written for each payload byte sent or received. `*`: derived in "
        "closed form, not recorded",
        _dram, "B/B", "left", 7,
    ),
    "verdict": Printed(
        "verdict",
        "whether the row is the network's: `faithful`, or what limited it instead (docs/fidelity.md)",
        lambda row: row.verdict, side="left",
    ),
    "compute": microseconds(
        "compute", "measured: how long an accelerator computed", lambda row: row.compute_us
    ),
    "exposed": microseconds("exposed", "measured: the time in which it did not", lambda row: row.exposed_us),
    "operations": Printed(
        "ops/s", "operations of all ranks in a second: IOPS", lambda row: tenths(row.operations_per_s)
    ),
    "p50": microseconds("p50", "measured: median latency of an operation", lambda row: row.latency_p50_us),
    "p95": microseconds("p95", "95th percentile", lambda row: row.latency_p95_us),
    "p99": microseconds("p99", "99th percentile", lambda row: row.latency_p99_us),
    "setup": microseconds(
        "setup", "measured: from the start until the first batch of training data was on the accelerator",
        lambda row: row.setup_us,
    ),
    "stall": Printed(
        "stall",
        "measured: the share of the training loop's time, which begins then, in which steps waited for their "
        "data",
        lambda row: tenths(row.stall_share and 100 * row.stall_share), "%",
    ),
    "predicted": microseconds(
        "predicted",
        "modelled: what LogGP says if the calibrated links were the only limit "
        "(docs/workloads.md#predictions); of links with a rate",
        lambda row: row.predicted_us,
    ),
}  # fmt: skip


PATTERN_COLUMNS: tuple[Column, ...] = (
    "compute", "exposed", "setup", "stall", "operations", "p50", "p95", "p99", "predicted",
)  # fmt: skip
