"""Median, spread and interval: known answers, and what an interval must do for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import estimate, ratio

SEED = 7


def test_median_and_spread_of_known_values() -> None:
    found = estimate({0: np.array([1.0, 5.0]), 1: np.array([2.0])})
    assert (found.median, found.minimum, found.maximum, found.count) == (2.0, 1.0, 5.0, 3)


def test_a_single_value_has_no_interval() -> None:
    found = estimate({0: np.array([3.0])})
    assert (found.median, found.low, found.high) == (3.0, None, None)
    assert ratio({0: np.array([3.0])}, {0: np.array([2.0])}).low is None


def test_no_value_has_no_median() -> None:
    with pytest.raises(ValueError, match="no repetition was measured"):
        estimate({})


def test_the_same_values_give_the_same_interval() -> None:
    values = {key: np.random.default_rng(SEED).normal(size=9) for key in range(4)}
    assert estimate(values) == estimate(values)


def test_a_disturbance_that_both_sides_share_leaves_a_paired_ratio_alone() -> None:
    slow = {0: np.array([2.0]), 1: np.array([4.0]), 2: np.array([6.0])}
    fast = {key: values / 2 for key, values in slow.items()}
    found = ratio(slow, fast)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)
    other = ratio(slow, {key + 1: values for key, values in fast.items()})
    assert other.low is not None
    assert other.low < 2.0


def test_repetitions_that_differ_widen_the_interval_more_than_iterations_do() -> None:
    across = estimate({key: np.full(10, float(key)) for key in range(1, 4)})
    within = estimate({key: np.tile([1.0, 2.0, 3.0], 10) for key in range(1, 4)})
    assert across.low == 1.0
    assert across.high == 3.0
    assert within.low is not None
    assert within.high is not None
    assert within.high - within.low < 2.0


def test_about_95_of_100_intervals_hold_the_true_median() -> None:
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    held = 0
    for _ in range(100):
        found = estimate({key: rng.normal(10, 1, 1) for key in range(25)})
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 10 <= found.high
    assert 88 <= held <= 100


@settings(max_examples=40, derandomize=True)
@given(st.lists(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=5), min_size=1, max_size=5))
def test_the_interval_lies_within_the_values_and_holds_in_any_grouping(groups: list[list[float]]) -> None:
    found = estimate({key: np.array(group) for key, group in enumerate(groups)})
    assert found.minimum <= found.median <= found.maximum
    if found.low is not None and found.high is not None:
        slack = 1e-9 * found.maximum
        assert found.minimum - slack <= found.low <= found.high <= found.maximum + slack
