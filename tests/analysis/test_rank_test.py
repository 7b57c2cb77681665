"""Mann and Whitney's U and Mann and Kendall's trend against published tables, and against a count of all."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import rank_test
from analysis.rank_test import difference, least_p, trend

# The largest U that is significant at 5 %, two-sided, of groups of n and m: the usual table of Mann and
# Whitney's test.
CRITICAL_U = {
    (3, 5): 0, (4, 4): 0, (4, 5): 1, (5, 5): 2, (5, 6): 3, (6, 6): 5, (5, 8): 6, (7, 7): 8, (8, 8): 13,
    (10, 10): 23, (12, 12): 37, (15, 15): 64, (20, 20): 127,
}  # fmt: skip
# How likely a Kendall score of at least S is, one-sided, of n values without ties: Kendall's table.
KENDALL = {(4, 6): 0.042, (5, 8): 0.042, (5, 10): 0.0083, (6, 11): 0.028, (7, 13): 0.035, (8, 16): 0.031,
           (10, 23): 0.023}  # fmt: skip


def of_u(n: int, m: int, u: int) -> rank_test.Difference:
    """Two groups without ties, of whose pairs the first's value is the larger in `u`."""
    above = [0] * n
    for place in range(n - 1, -1, -1):
        above[place] = min(m, u)
        u -= above[place]
    first = [each + (place + 1) / (n + 2) for place, each in enumerate(above)]
    return difference(first, list(range(1, m + 1)))


@pytest.mark.parametrize(("sizes", "u"), CRITICAL_U.items())
def test_the_critical_values_are_the_published_ones(sizes: tuple[int, int], u: int) -> None:
    n, m = sizes
    found, next_ = of_u(n, m, u), of_u(n, m, u + 1)
    assert (found.u, next_.u) == (u, u + 1)
    assert found.p <= 0.05 < next_.p


def test_the_least_p_is_that_of_groups_that_do_not_overlap() -> None:
    for n, m in [(1, 1), (3, 3), (3, 4), (5, 5), (7, 2)]:
        assert difference(range(n), range(100, 100 + m)).p == pytest.approx(least_p(n, m))
    assert least_p(3, 3) == pytest.approx(0.1)
    assert least_p(5, 5) == pytest.approx(2 / 252)


values = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(values, values)
def test_p_is_the_share_of_all_deals_that_are_as_far_apart(first: list[int], second: list[int]) -> None:
    everything, pairs = [*first, *second], len(first) * len(second)

    def u_of(chosen: tuple[int, ...]) -> float:
        ours = [everything[at] for at in chosen]
        theirs = [each for at, each in enumerate(everything) if at not in chosen]
        return sum((a > b) + (a == b) / 2 for a in ours for b in theirs)

    deals = [u_of(each) for each in itertools.combinations(range(len(everything)), len(first))]
    far = abs(deals[0] - pairs / 2)
    found = difference(first, second)
    assert found.u == deals[0]
    assert found.p == pytest.approx(sum(abs(u - pairs / 2) >= far for u in deals) / len(deals))
    assert found.delta == pytest.approx(2 * deals[0] / pairs - 1)


def test_many_values_are_judged_by_the_normal_distribution_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    first, second = ([*map(float, rng.normal(mean, 1, 25).round(1))] for mean in (0, 0.5))
    rising = [*map(float, rng.normal(0, 1, 30) + np.arange(30) / 20)]
    exact = difference(first, second).p, trend(rising).p
    monkeypatch.setattr(rank_test, "EXACT_MAX", 2)
    assert (difference(first, second).p, trend(rising).p) == pytest.approx(exact, abs=0.005)
    assert difference([1.0] * 30, [1.0] * 30).p == 1.0


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ([1, 2, 3], [1, 2, 3], "negligible"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 9], "negligible"),
        ([1, 2, 3, 4, 5], [2, 3, 4, 5, 5], "small"),
        ([1, 2, 3, 4, 5], [2, 3, 4, 5, 6], "medium"),
        ([1, 2, 3], [4, 5, 6], "large"),
    ],
)
def test_an_effect_has_a_word(first: list[float], second: list[float], word: str) -> None:
    assert difference(first, second).effect == word
    assert difference(second, first).effect == word


@pytest.mark.parametrize(("case", "one_sided"), KENDALL.items())
def test_a_trend_is_as_likely_as_kendalls_table_says(case: tuple[int, int], one_sided: float) -> None:
    count, score = case
    swaps = (count * (count - 1) // 2 - score) // 2
    order = list(range(count))
    for _ in range(swaps):  # each exchange of neighbours costs the score 2
        at = next(at for at in range(count - 1) if order[at] < order[at + 1])
        order[at], order[at + 1] = order[at + 1], order[at]
    found = trend(order)
    assert round(found.tau * count * (count - 1) / 2) == score
    assert found.p / 2 == pytest.approx(one_sided, abs=0.0006)
    assert trend(order[::-1]).tau == -found.tau


def test_nothing_can_be_tested_of_no_values() -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        difference([], [1.0])
    with pytest.raises(ValueError, match="at least two values"):
        trend([1.0])
