"""What ranks contribute, and that nothing wrong could look right."""

from __future__ import annotations

import itertools
import random
import zlib

import numpy as np
import pytest

from workloads import expected
from workloads.element_types import ELEMENT_TYPES, REDUCTIONS, Array, divided, reduction
from workloads.expected import Contributions

SEED = expected.seed_of("test", 1)
COUNT = 2000
EVERY = list(itertools.product(ELEMENT_TYPES, REDUCTIONS))


def inputs(dtype: str, redop: str, nranks: int) -> list[Array]:
    given = Contributions(ELEMENT_TYPES[dtype], redop, nranks)
    return [given.input(SEED, rank, COUNT) for rank in range(nranks)]


def in_any_order(values: list[Array], redop: str, chance: random.Random) -> Array:
    """Two at a time, as the ranks of any algorithm reduce."""
    left = list(values)
    while len(left) > 1:
        chance.shuffle(left)
        left.append(reduction(redop)(left.pop(), left.pop()))
    return divided(left[0], len(values)) if redop == "avg" else left[0]


@pytest.mark.parametrize("nranks", [1, 2, 3, 9, 64, 255, 512])
@pytest.mark.parametrize(("dtype", "redop"), EVERY)
def test_the_result_is_exact_in_any_order(dtype: str, redop: str, nranks: int) -> None:
    if dtype == "bfloat16" and nranks > 256 and redop in ("sum", "avg"):
        with pytest.raises(ValueError, match="512 ranks is not exact in bfloat16; use at most 256 ranks"):
            Contributions(ELEMENT_TYPES[dtype], redop, nranks)
        return
    given = inputs(dtype, redop, nranks)
    result = Contributions(ELEMENT_TYPES[dtype], redop, nranks).reduced(SEED, COUNT)
    assert result.dtype == given[0].dtype == ELEMENT_TYPES[dtype].dtype
    chance = random.Random(7)
    for _ in range(3):
        assert np.array_equal(in_any_order(given, redop, chance), result)


@pytest.mark.parametrize("nranks", [2, 3, 9, 64])
@pytest.mark.parametrize(("dtype", "redop"), EVERY)
def test_a_missing_doubled_or_exchanged_contribution_shows(dtype: str, redop: str, nranks: int) -> None:
    given = inputs(dtype, redop, nranks)
    result = in_any_order(given, redop, random.Random(1))
    chance = random.Random(2)
    for rank in (0, nranks // 2, nranks - 1):
        shifted = [*given[:rank], np.roll(given[rank], 1), *given[rank + 1 :]]
        assert not np.array_equal(in_any_order(shifted, redop, chance), result), "misplaced"
        if redop in ("min", "max"):
            continue  # of several equal ones one may be missing, and one may come twice
        missing = [
            np.ones_like(each) if n == rank and redop == "prod" else each for n, each in enumerate(given)
        ]
        if redop != "prod":
            missing[rank] = np.zeros_like(given[rank])
        assert not np.array_equal(in_any_order(missing, redop, chance), result), "missing"
        twice = [*given, given[rank]]
        doubled = in_any_order(twice, "sum" if redop == "avg" else redop, chance)
        whole = in_any_order(given, "sum" if redop == "avg" else redop, chance)
        assert not np.array_equal(doubled, whole), "doubled"


@pytest.mark.parametrize("redop", ["min", "max"])
def test_the_smallest_and_the_largest_are_any_ranks(redop: str) -> None:
    given = inputs("float32", redop, 9)
    result = in_any_order(given, redop, random.Random(1))
    for rank in range(9):
        others = [each for n, each in enumerate(given) if n != rank]
        assert not np.array_equal(in_any_order(others, redop, random.Random(1)), result)


@pytest.mark.parametrize(("dtype", "redop"), [*EVERY, *((dtype, "none") for dtype in ELEMENT_TYPES)])
def test_no_contribution_is_zero_as_fresh_memory_is(dtype: str, redop: str) -> None:
    assert all(np.all(values != 0) for values in inputs(dtype, redop, 9))


def test_data_that_is_only_moved_differs_by_rank() -> None:
    given = inputs("int32", "none", 9)
    for one, other in itertools.combinations(given, 2):
        assert np.count_nonzero(one == other) < COUNT / 20


@pytest.mark.parametrize("redop", ["none", "sum"])
def test_a_part_of_an_input_is_the_whole_ones(redop: str) -> None:
    given = Contributions(ELEMENT_TYPES["float16"], redop, 3)
    assert np.array_equal(given.input(SEED, 2, 50, 100), given.input(SEED, 2, 150)[100:])
    if redop == "sum":
        assert np.array_equal(given.reduced(SEED, 50, 100), given.reduced(SEED, 150)[100:])


def test_every_number_of_the_pattern_occurs() -> None:
    assert set(expected.pattern(SEED, 100_000)) == set(range(expected.NUMBERS))


def test_data_of_another_iteration_differs_nearly_everywhere() -> None:
    given = Contributions(ELEMENT_TYPES["float32"], "sum", 4)
    now = given.reduced(expected.seed_of(1, "devmem", 4096, 0, 1), 100_000)
    for other in range(2, 30):
        stale = given.reduced(expected.seed_of(1, "devmem", 4096, 0, other), 100_000)
        assert np.count_nonzero(now == stale) < 3_000, f"iteration {other}"


def test_shifted_data_differs_nearly_everywhere() -> None:
    values = Contributions(ELEMENT_TYPES["float32"], "sum", 4).input(SEED, 0, 100_000)
    for shift in (1, 2, 16, 362, 1024, 16384, 65536):
        assert np.count_nonzero(values[shift:] == values[:-shift]) < 10_000, f"shift {shift}"


@pytest.mark.parametrize("start", [0, 1, 4096, expected.PERIOD - 1, 7 * expected.PERIOD + 5])
def test_long_arrays_repeat_a_prime_number_of_elements(start: int) -> None:
    table = np.arange(64, dtype=np.uint8)
    once = expected.pattern(SEED, expected.PERIOD)
    for count in (1, expected.PERIOD, expected.PERIOD + 1, 3 * expected.PERIOD + 100):
        found = expected.repeated(table, SEED, count, start)
        assert np.array_equal(found, once[(start + np.arange(count)) % expected.PERIOD])
    assert all(expected.PERIOD % factor for factor in range(2, 513))


def test_seeds_are_the_same_in_every_process() -> None:
    assert expected.seed_of(1, "devmem", 1024) == zlib.crc32(b"(1, 'devmem', 1024)")


def test_both_directions_of_a_stream_carry_different_bytes() -> None:
    one, other = expected.message(SEED, 10_000), expected.message(SEED ^ 1, 10_000)
    assert one.dtype == np.uint8
    assert one.min() == 1
    assert np.count_nonzero(one == other) < 300
