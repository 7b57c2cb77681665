"""Medians, and how certain they are.

In: measured values, grouped by repetition. Out: median, spread, bootstrap interval. Owns nothing. The
iterations of one repetition ran under the same conditions, so they are not independent. The bootstrap
therefore draws repetitions first and iterations within them second. It is seeded: the same data give the same
interval. With few repetitions (three, say) any such interval is approximate, as a rule too narrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Repetitions = Mapping[int, Floats]

SEED = 20260
RESAMPLES = 2000
VALUES_AT_ONCE = 4_000_000  # bounds the memory of a bootstrap over very many iterations


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median with its spread, in the values' unit; low and high bound the 95 % interval of the median.

    Both are None where fewer than two values exist, because nothing then tells the spread.
    """

    median: float
    low: float | None
    high: float | None
    minimum: float
    maximum: float
    count: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two medians and its 95 % interval (None where either side has fewer than two values)."""

    value: float
    low: float | None
    high: float | None


def estimate(repetitions: Repetitions) -> Estimate:
    """Median, minimum, maximum and interval of all values; ValueError if there are none."""
    values = _pooled(repetitions)
    low = high = None
    if values.size > 1:
        rng = np.random.default_rng(SEED)
        low, high = _interval(_medians(repetitions, _picks(repetitions, rng), rng))
    return Estimate(
        float(np.median(values)), low, high, float(values.min()), float(values.max()), int(values.size)
    )


def ratio(numerator: Repetitions, denominator: Repetitions, one_run: bool = True) -> Ratio:
    """Median of `numerator` over median of `denominator`.

    Where both have the same repetitions of `one_run` the bootstrap draws them together, so that what
    disturbed the machine during one repetition, and hence both sides, does not widen the interval.
    """
    above, below = _pooled(numerator), _pooled(denominator)
    low = high = None
    if above.size > 1 and below.size > 1:
        rng = np.random.default_rng(SEED)
        picks = _picks(numerator, rng)
        paired = one_run and sorted(numerator) == sorted(denominator)
        picks_below = picks if paired else _picks(denominator, rng)
        rounds = min(len(picks), len(picks_below))
        top = _medians(numerator, picks[:rounds], rng)
        low, high = _interval(top / _medians(denominator, picks_below[:rounds], rng))
    return Ratio(float(np.median(above) / np.median(below)), low, high)


def _pooled(repetitions: Repetitions) -> Floats:
    if not repetitions:
        raise ValueError("no repetition was measured; a median needs at least one value")
    return np.concatenate([repetitions[key] for key in sorted(repetitions)])


def _picks(repetitions: Repetitions, rng: np.random.Generator) -> NDArray[np.int64]:
    longest = max(len(values) for values in repetitions.values())
    rounds = max(200, min(RESAMPLES, VALUES_AT_ONCE // (len(repetitions) * longest)))
    return rng.integers(len(repetitions), size=(rounds, len(repetitions)))


def _medians(repetitions: Repetitions, picks: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    groups = [repetitions[key] for key in sorted(repetitions)]
    lengths = np.array([len(group) for group in groups])
    table = np.zeros((len(groups), int(lengths.max())))
    for row, group in enumerate(groups):
        table[row, : len(group)] = group
    within = (rng.random((*picks.shape, table.shape[1])) * lengths[picks][..., None]).astype(np.int64)
    drawn = table[picks[..., None], within].reshape(len(picks), -1)
    return np.asarray(np.median(drawn, axis=1), dtype=np.float64)


def _interval(medians: Floats) -> tuple[float, float]:
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(low), float(high)
