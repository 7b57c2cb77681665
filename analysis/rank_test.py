"""Whether two groups of values differ, or one group drifts, asked of the order of the values alone.

In: values of two groups, or of one group in the order of time. Out: a probability, and the size of the
effect. Pure; owns nothing. No shape of the distribution is assumed. Probabilities are exact: of all the ways
to deal the values to the groups, or to order them, each is counted, ties as they are. Beyond EXACT_MAX
values, and for a trend with ties, the normal distribution stands for the count.

Sources: Mann and Whitney 1947 (U), Mann 1945 and Kendall 1975 (the trend), Cliff 1993 (delta), and Romano et
al. 2006 for delta's words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_MAX = 60  # values of both groups, or of a trend: the counting takes milliseconds
_WORDS = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))


@dataclass(frozen=True, slots=True)
class Difference:
    """`u`: of how many pairs the first group's value is the larger, a tie counting half. `p`: how likely a U
    as far from the middle is, in either direction, if both groups are of one distribution. `delta`: Cliff's,
    from -1 (every value of the first group is the smaller) to 1."""

    u: float
    p: float
    delta: float

    @property
    def effect(self) -> str:
        """`delta` in a word: negligible, small, medium or large."""
        return next((word for limit, word in _WORDS if abs(self.delta) < limit), "large")


@dataclass(frozen=True, slots=True)
class Trend:
    """`tau`: Kendall's, 1 if every value is above all before it, -1 if below. `p`: how likely so strong a one
    is, in either direction, if order means nothing."""

    tau: float
    p: float


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mann and Whitney's U test, two-sided. Raises ValueError for an empty group."""
    if not len(first) or not len(second):
        raise ValueError("a group has no values; a test needs at least one of each")
    doubled = _doubled_ranks([*first, *second])
    pairs, lowest = len(first) * len(second), len(first) * (len(first) + 1)
    doubled_u = int(doubled[: len(first)].sum()) - lowest
    u = doubled_u / 2
    far = abs(doubled_u - pairs)  # of the doubled U from its mean
    if len(doubled) <= EXACT_MAX:
        counts = _rank_sums(doubled, len(first))
        away = np.abs(np.arange(len(counts)) - lowest - pairs)
        p = float(counts[away >= far].sum() / counts.sum())
    else:
        p = _normal_p(u - pairs / 2, _u_variance(doubled, len(first)))
    return Difference(u, min(1.0, p), 2 * u / pairs - 1)


def least_p(first: int, second: int) -> float:
    """The smallest `p` that groups of so many values can have, without ties."""
    return min(1.0, 2 / math.comb(first + second, first))


def trend(values: Sequence[float]) -> Trend:
    """Mann and Kendall's test, two-sided. Raises ValueError for fewer than two values."""
    count = len(values)
    if count < 2:
        raise ValueError("a trend needs at least two values")
    given = np.asarray(values, dtype=np.float64)
    signs = np.sign(given[None, :] - given[:, None])
    score = int(np.triu(signs, 1).sum())
    pairs = count * (count - 1) // 2
    if count <= EXACT_MAX and len(set(values)) == count:
        inversions = _inversions(count)
        p = float(inversions[np.abs(pairs - 2 * np.arange(pairs + 1)) >= abs(score)].sum())
    else:
        p = _normal_p(score, _score_variance(given), step=2)
    return Trend(score / pairs, min(1.0, p))


def _doubled_ranks(values: Sequence[float]) -> NDArray[np.int64]:
    """From 2; equal values share the mean of their ranks, which doubled is a whole number."""
    given = np.asarray(values, dtype=np.float64)
    _, place, counts = np.unique(given, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((2 * last - counts + 1)[place], dtype=np.int64)


def _rank_sums(doubled: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """How many of the choices of `size` ranks have each sum."""
    counts = np.zeros((size + 1, int(doubled.sum()) + 1))
    counts[0, 0] = 1
    for taken, rank in enumerate(doubled, 1):
        for chosen in range(min(taken, size), 0, -1):
            counts[chosen, rank:] += counts[chosen - 1, :-rank]
    return np.asarray(counts[size], dtype=np.float64)


def _inversions(count: int) -> NDArray[np.float64]:
    """The share of all orders of `count` values that has each number of pairs out of order."""
    shares = np.ones(1)
    for length in range(2, count + 1):
        shares = np.convolve(shares, np.full(length, 1 / length))
    return shares


def _u_variance(doubled: NDArray[np.int64], size: int) -> float:
    total, other = len(doubled), len(doubled) - size
    _, tied = np.unique(doubled, return_counts=True)
    correction = float((tied.astype(float) ** 3 - tied).sum()) / (total * (total - 1))
    return size * other / 12 * (total + 1 - correction)


def _score_variance(values: NDArray[np.float64]) -> float:
    _, tied = np.unique(values, return_counts=True)
    count = len(values)
    each = [number * (number - 1) * (2 * number + 5) for number in (count, *map(int, tied))]
    return (each[0] - sum(each[1:])) / 18


def _normal_p(away: float, variance: float, step: float = 1) -> float:
    """Two-sided, with the correction for values that are `step` apart."""
    if variance <= 0:
        return 1.0
    return math.erfc(max(0.0, abs(away) - step / 2) / math.sqrt(2 * variance))
