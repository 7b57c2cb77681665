"""What became faster or slower from one run to another, and whether that is more than chance.

In: two loaded runs. Out: a row for each path, size and place that both have. Owns the definition of a
difference. The iterations of a repetition share the machine's state, so a repetition counts as one value,
its median: of five repetitions each the test has five values against five. A row has a difference where the U
test says so (p at most ALPHA) and the bootstrap's interval of the ratio does not hold 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from analysis.groups import Key, groups_of, paces_of
from analysis.load import Run
from analysis.rank_test import difference, least_p
from analysis.results_error import ResultsError
from analysis.statistics import Repetitions, ratio
from analysis.summary import SummaryRow, summarise

ALPHA = 0.05
FASTER, SLOWER, ALIKE, TOO_FEW = "faster", "slower", "alike", "too-few"
MODELLED = 0.05  # bytes of host DRAM a payload byte: headers differ by less, a copy by 1 or more


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One path at one size of two runs: a row of `compare --json`."""

    cell: Annotated[str, "", "of a sweep its options, empty of a run"]
    workload: Annotated[str, "", "as `--workload`"]
    size_bytes: Annotated[int, "B", "as in summary.csv"]
    path: Annotated[str, "", "likewise"]
    in_place: Annotated[bool, "", "whether the result replaced the input"]
    unit: Annotated[str, "", "of `a` and `b`: GB/s or Gbit/s, or us where the workload has no bandwidth"]
    a: Annotated[float, "`unit`", "median of the first run"]
    b: Annotated[float, "`unit`", "median of the second run"]
    a_repetitions: Annotated[int, "", "of the first run"]
    b_repetitions: Annotated[int, "", "of the second run"]
    speed_ratio: Annotated[float, "", "how many times as fast `b` is as `a`"]
    speed_ratio_ci_low: Annotated[float | None, "", "its 95 % interval; null where a side has one value only"]
    speed_ratio_ci_high: Annotated[float | None, "", "likewise"]
    u: Annotated[float, "", "Mann and Whitney's U of the repetitions' medians"]
    p: Annotated[float, "", "its p, two-sided"]
    p_least: Annotated[float, "", "the smallest p that so many repetitions can have"]
    delta: Annotated[float, "", "Cliff's, 1 where every repetition of `b` was faster"]
    effect: Annotated[str, "", "its word"]
    outcome: Annotated[str, "", "`faster`, `slower`, `alike` or `too-few`"]
    a_verdict: Annotated[str, "", "of the first run's row, as in summary.csv"]
    b_verdict: Annotated[str, "", "of the second run's"]
    a_wrong_elements: Annotated[int | None, "elements", "likewise"]
    b_wrong_elements: Annotated[int | None, "elements", "likewise"]
    a_host_dram_bytes_per_payload_byte: Annotated[float | None, "B/B", "modelled, likewise"]
    b_host_dram_bytes_per_payload_byte: Annotated[float | None, "B/B", "modelled, likewise"]
    a_stability: Annotated[str, "", "likewise"]
    b_stability: Annotated[str, "", "likewise"]

    def is_regression(self, threshold: float) -> bool:
        """Slower by more than `threshold` (0.05 is 5 % of a's speed), and not by chance."""
        return self.outcome == SLOWER and self.speed_ratio < 1 - threshold

    @property
    def dram_changed(self) -> bool:
        """Whether the modelled traffic is another: a copy more or less."""
        ours, theirs = self.a_host_dram_bytes_per_payload_byte, self.b_host_dram_bytes_per_payload_byte
        return ours is not None and theirs is not None and abs(theirs - ours) > MODELLED


@dataclass(frozen=True, slots=True)
class Compared:
    """`alone`: what one of the runs has and the other has not, a clause each."""

    rows: tuple[ComparedRow, ...]
    alone: tuple[str, ...]


def compare(a: Run, b: Run, cell: str = "") -> Compared:
    """What both have. Raises ResultsError where they have nothing in common."""
    ours, theirs = _Side(a), _Side(b)
    shared = [key for key in ours.paces if key in theirs.paces]
    if not shared or a.manifest.measure.rate != b.manifest.measure.rate:
        raise ResultsError(
            f"{a.directory.path} and {b.directory.path} have no path and size in common; compare runs of one "
            "workload"
        )
    rows = tuple(_row(cell, key, ours, theirs) for key in shared)
    return Compared(rows, (*ours.alone(theirs, "the first"), *theirs.alone(ours, "the second")))


class _Side:
    """A run's paces and summary rows, by key."""

    def __init__(self, run: Run) -> None:
        self.measure = run.manifest.measure
        self.paces = paces_of(run, dict(groups_of(run)))
        self.rows: dict[Key, SummaryRow] = dict(zip(self.paces, summarise(run), strict=True))

    def alone(self, other: "_Side", which: str) -> list[str]:
        return [
            f"{f'{self.rows[key].size_bytes} B on ' * self.measure.size_is_key}{key.path} is of {which} alone"
            for key in self.paces
            if key not in other.paces
        ]


def _row(cell: str, key: Key, a: _Side, b: _Side) -> ComparedRow:
    before, after = a.rows[key], b.rows[key]
    # Seconds of a over seconds of b: above 1, b is the faster one.
    found = ratio(a.paces[key], b.paces[key], one_run=False)
    tested = difference(_speeds(b.paces[key]), _speeds(a.paces[key]))
    p_least = least_p(before.repetitions, after.repetitions)
    unit = _unit(before, a)
    return ComparedRow(
        cell, before.workload, before.size_bytes, key.path, key.in_place, unit,
        _shown(before, a, unit), _shown(after, b, unit), before.repetitions, after.repetitions,
        found.value, found.low, found.high, tested.u, tested.p, p_least, tested.delta, tested.effect,
        outcome(found.low, found.high, tested.p, p_least),
        before.verdict, after.verdict, before.wrong_elements, after.wrong_elements,
        before.host_dram_bytes_per_payload_byte, after.host_dram_bytes_per_payload_byte,
        before.stability, after.stability,
    )  # fmt: skip


def _speeds(paces: Repetitions) -> Sequence[float]:
    """A value a repetition."""
    return [1 / float(np.median(paces[key])) for key in sorted(paces)]


def _unit(row: SummaryRow, side: _Side) -> str:
    if not side.measure.bandwidth_factor or not row.busbw_GB_per_s:
        return "us"
    return side.measure.shown_rate.unit


def _shown(row: SummaryRow, side: _Side, unit: str) -> float:
    return row.time_us if unit == "us" else row.busbw_GB_per_s * side.measure.shown_rate.per_GB_per_s


def outcome(low: float | None, high: float | None, p: float, p_least: float) -> str:
    """Of a ratio's interval and a test's p; FASTER where the ratio is above 1."""
    if p_least > ALPHA or low is None or high is None:
        return TOO_FEW
    if p > ALPHA or low <= 1 <= high:
        return ALIKE
    return FASTER if low > 1 else SLOWER
