"""Whether a row's times are steady enough to be believed: sentences in pyperf's manner.

In: seconds a byte of a row, by repetition. Out: what is to be said of it. Pure; owns the limits, which
docs/results.md tells. A warning changes no number and no verdict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.rank_test import trend
from analysis.statistics import Estimate, Repetitions

REPETITIONS_MIN = 5
WIDE = 0.1  # half the interval, of the median
SPREAD = 0.1  # standard deviation of the repetitions' medians, of their mean: pyperf's limit
OUTLIER = 0.5  # a single iteration's distance from the median, of it: pyperf's, of the mean
TREND_P, TREND_SHIFT = 0.05, 0.05  # how likely by chance, and how far from the first to the last
FEW, WIDE_INTERVAL, SPREADING, DRIFT, OUTLIERS = "few", "wide", "spread", "trend", "outliers"

@dataclass(frozen=True, slots=True)
class Unsteady:
    """`kind`: one of the above. `text`: a clause with its figures."""

    kind: str
    text: str

def warnings(repetitions: Repetitions, spread: Estimate) -> tuple[Unsteady, ...]:
    """Of a row whose `spread` is known, the gravest first."""
    medians = [float(np.median(repetitions[key])) for key in sorted(repetitions)]
    found = [*_few(medians), *_wide(spread), *_spreading(medians), *_drift(medians), *_outliers(spread)]
    return tuple(found)

def words(found: Iterable[Unsteady]) -> str:
    """As one text, for a column: `kind: clause; kind: clause`, '' for none."""
    return "; ".join(f"{each.kind}: {each.text}" for each in found)


def told(rows: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for each kind of warning, of rows by their name and their `words`; the first one's figures
    stand for all."""
    first: dict[str, str] = {}
    count: dict[str, int] = {}
    for name, found in rows:
        for clause in found.split("; ") if found else ():
            kind, _, text = clause.partition(": ")
            first.setdefault(kind, text if kind == FEW else f"{name}: {text}")
            count[kind] = count.get(kind, 0) + (kind != FEW)
    more = {kind: f" (and {rows - 1} more rows)" if rows > 1 else "" for kind, rows in count.items()}
    return [f"{text}{more[kind]}" for kind, text in first.items()]


def _few(medians: Sequence[float]) -> Iterable[Unsteady]:
    if len(medians) < REPETITIONS_MIN:
        counted = f"{len(medians)} repetition{'s' * (len(medians) != 1)}"
        yield Unsteady(
            FEW,
            f"{counted}: intervals are approximate, as a rule too narrow: ask for --repeat {REPETITIONS_MIN} "
            "or more",
        )

def _wide(spread: Estimate) -> Iterable[Unsteady]:
    if spread.low is None or spread.high is None:
        return
    half = (spread.high - spread.low) / 2 / spread.median
    if half > WIDE:
        yield Unsteady(
            WIDE_INTERVAL, f"the 95 % interval is {100 * half:.0f} % of the median to either side"
        )

def _spreading(medians: Sequence[float]) -> Iterable[Unsteady]:
    if len(medians) < 2:
        return
    share = float(np.std(medians, ddof=1) / np.mean(medians))
    if share > SPREAD:
        yield Unsteady(
            SPREADING, f"the standard deviation of the repetitions is {100 * share:.0f} % of their mean"
        )

def _drift(medians: Sequence[float]) -> Iterable[Unsteady]:
    if len(medians) < 4:  # of three, six orders say nothing
        return
    found, shift = trend(medians), medians[-1] / medians[0] - 1
    if found.p <= TREND_P and abs(shift) > TREND_SHIFT:
        word = "longer" if shift > 0 else "shorter"
        yield Unsteady(
            DRIFT,
            f"times become {word} from repetition to repetition ({100 * shift:+.0f} % from the first to the "
            f"last, p = {found.p:.3f})",
        )

def _outliers(spread: Estimate) -> Iterable[Unsteady]:
    slow, fast = spread.maximum / spread.median - 1, 1 - spread.minimum / spread.median
    if slow > OUTLIER:
        yield Unsteady(OUTLIERS, f"the slowest iteration took {1 + slow:.1f} times the median")
    elif fast > OUTLIER:
        yield Unsteady(OUTLIERS, f"the fastest iteration took {1 - fast:.1f} of the median")

