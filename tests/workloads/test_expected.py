"""What ranks contribute, and that nothing wrong could look right."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from workloads import expected

SEED = expected.seed_of("test", 1)


@pytest.mark.parametrize("nranks", [1, 2, 3, 9, 64, expected.MAX_RANKS])
def test_the_sum_is_exact_in_any_order(nranks: int) -> None:
    total = np.zeros(5000, np.float32)
    for rank in range(nranks):
        total += expected.operand(SEED, rank, 5000)
    backwards = np.zeros(5000, np.float32)
    for rank in reversed(range(nranks)):
        backwards += expected.operand(SEED, rank, 5000)
    result = expected.reduced_sum(SEED, nranks, 5000)
    assert np.array_equal(total, result)
    assert np.array_equal(backwards, result)


def test_a_contribution_is_never_zero_so_that_none_can_be_missing_unseen() -> None:
    values = expected.pattern(SEED, 100_000)
    assert values.min() == 1
    assert values.max() == 64


def test_data_of_another_iteration_differs_nearly_everywhere() -> None:
    now = expected.reduced_sum(expected.seed_of(1, "devmem", 4096, 0, 1), 4, 100_000)
    for other in range(2, 30):
        stale = expected.reduced_sum(expected.seed_of(1, "devmem", 4096, 0, other), 4, 100_000)
        assert np.count_nonzero(now == stale) < 3_000, f"iteration {other}"


def test_shifted_data_differs_nearly_everywhere() -> None:
    values = expected.operand(SEED, 0, 100_000)
    for shift in (1, 2, 16, 362, 1024, 16384):
        assert np.count_nonzero(values[shift:] == values[:-shift]) < 10_000, f"shift {shift}"


def test_seeds_are_the_same_in_every_process() -> None:
    assert expected.seed_of(1, "devmem", 1024) == zlib.crc32(b"(1, 'devmem', 1024)")


def test_both_directions_of_a_stream_carry_different_bytes() -> None:
    one, other = expected.message(SEED, 10_000), expected.message(SEED ^ 1, 10_000)
    assert one.dtype == np.uint8
    assert np.count_nonzero(one == other) < 300
