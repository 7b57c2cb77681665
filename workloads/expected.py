"""The data that every rank contributes, and the result that is expected of it, exact in any order.

In: a seed that differs for every iteration, a rank, a range of elements. Out: arrays. Owns nothing. A seeded
pattern gives each position a number from 0 to 63; a table says what each rank contributes for each number, so
what is expected is that table, reduced. Its values are such that no order of reducing rounds, and that a
missing, doubled or misplaced contribution shows; so does data left from an earlier iteration. No value is 0,
as fresh memory is. A long array repeats a prime number of elements, so that no chunk or page is as long: to
copy what is made already takes a tenth of the time.
"""

from __future__ import annotations

import functools
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

from workloads.element_types import Array, ElementType, divided, reduction

if TYPE_CHECKING:
    import numpy as np  # imported where it is needed: it takes its time, and options do without
    from numpy.typing import NDArray

Bytes: TypeAlias = "NDArray[np.uint8]"

NUMBERS = 64
_DISTINCT_MIN = 8  # a sum's values differ by position only if there are several of them
_GROUP = 8  # ranks that contribute to a product at one position: above it float16 would overflow

PERIOD = 262_139  # elements; a prime number

# Knuth's multiplicative hash, then murmur3's, and the seed between them: seeds' patterns are unrelated.
_GOLDEN = 2654435761
_MURMUR = 0x85EBCA6B


def seed_of(*parts: int | str) -> int:
    """A 32-bit seed from the values that identify an iteration; the same on every rank and every machine."""
    return zlib.crc32(repr(parts).encode())


def repeated(table: Array, seed: int, count: int, start: int = 0) -> Array:
    """The elements of `table` (shape (NUMBERS,)) at the numbers of `count` positions from `start` on."""
    begin = start % PERIOD
    if begin + count <= PERIOD:
        found: Array = table[pattern(seed, count, begin)]
        return found
    import numpy as np

    whole = table[pattern(seed, PERIOD)]
    found = np.empty(count, table.dtype)
    at = PERIOD - begin
    found[:at] = whole[begin:]
    while at < count:
        end = min(count, at + PERIOD)
        found[at:end] = whole[: end - at]
        at = end
    return found


def pattern(seed: int, count: int, start: int = 0) -> NDArray[np.uint32]:
    """`count` numbers from 0 to 63 of the positions from `start` on, by position and seed; shape (count,)."""
    import numpy as np

    values = np.arange(start, start + count, dtype=np.uint32)
    values *= np.uint32(_GOLDEN)
    values ^= np.uint32(seed)
    values *= np.uint32(_MURMUR)
    values >>= np.uint32(26)
    return values


def message(seed: int, size: int, start: int = 0) -> Bytes:
    """The bytes of one message from byte `start` on, each from 1 to 64; shape (size,)."""
    import numpy as np

    return repeated(np.arange(1, NUMBERS + 1, dtype=np.uint8), seed, size, start)


class Contributions:
    """What the ranks of one collective contribute. `redop`: "none" where nothing is reduced.

    Raises ValueError when so many ranks have no exact result in elements of that type.
    """

    def __init__(self, element: ElementType, redop: str, nranks: int) -> None:
        self._redop = redop
        self._nranks = nranks
        self._table: Array = _TABLES[redop](element, nranks).astype(element.dtype)

    def input(self, seed: int, rank: int, count: int, start: int = 0) -> Array:
        """Elements of `rank`'s input, from element `start` on; shape (count,)."""
        if self._redop == "none":  # each rank's data is its own
            seed = seed_of(seed, rank)
        return repeated(self._table[rank], seed, count, start)

    def reduced(self, seed: int, count: int, start: int = 0) -> Array:
        """Elements of the reduction of all ranks' inputs, from element `start` on; shape (count,)."""
        return repeated(self._expected, seed, count, start)

    @functools.cached_property
    def _expected(self) -> Array:
        found: Array = reduction(self._redop).reduce(self._table, axis=0, dtype=self._table.dtype)
        return divided(found, self._nranks) if self._redop == "avg" else found


def _moved(element: ElementType, nranks: int) -> NDArray[Any]:  # noqa: ARG001  as every table's
    import numpy as np

    return np.tile(np.arange(1, NUMBERS + 1), (nranks, 1))


def _summed(element: ElementType, nranks: int) -> NDArray[Any]:
    """A rank's weight times a value. Weights are 1, 2, ... and start again where the sum would be inexact."""
    import numpy as np

    for distinct in range(nranks, 0, -1):
        weights = 1 + np.arange(nranks) % distinct
        largest = element.exact_max // int(weights.sum())
        if largest >= _DISTINCT_MIN:
            break
    if largest < 1:
        raise ValueError(
            f"a sum over {nranks} ranks is not exact in {element.name}; use at most {element.exact_max} "
            "ranks, or another --dtype"
        )
    values = 1 + np.arange(NUMBERS) % min(NUMBERS, largest)
    return np.outer(weights, values)


def _multiplied(element: ElementType, nranks: int) -> NDArray[Any]:
    """Whole numbers are odd, so that none becomes 0: they wrap, which is exact. Others are powers of two: at
    each position those of a group of ranks, of which half are below 1; the other ranks contribute 1."""
    import numpy as np

    rank, number = np.ogrid[:nranks, :NUMBERS]
    values: Array
    if element.dtype.kind == "i":
        values = 2 * ((number * 7 + rank * 13) % 50) + 3
        return values
    groups = -(-nranks // _GROUP)
    if groups > NUMBERS:
        raise ValueError(f"a product over {nranks} ranks is not checked; use at most {NUMBERS * _GROUP}")
    exponent = np.where(rank % 2, -1, 1) * (1 + (number // groups + rank // 2) % 2)
    values = np.where(number % groups == rank // _GROUP, 2.0**exponent, 1.0)
    return values


def _compared(element: ElementType, nranks: int) -> NDArray[Any]:  # noqa: ARG001
    """Whole numbers; at each position another rank has the smallest and another one the largest. Of more
    than 64 ranks the others have neither."""
    import numpy as np

    rank, number = np.ogrid[:nranks, :NUMBERS]
    values = (number * 37 + rank * 53) % 90 - 45
    values = np.where(values < 0, values, values + 1)
    values = np.where(rank == number % nranks, 64 + number % 32, values)
    if nranks > 1:
        values = np.where(rank == (number + nranks // 2) % nranks, -64 - number % 32, values)
    return values


_TABLES = {
    "none": _moved,
    "sum": _summed,
    "avg": _summed,
    "prod": _multiplied,
    "min": _compared,
    "max": _compared,
}
