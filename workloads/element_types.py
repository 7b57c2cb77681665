"""The types of elements and the reductions that collectives know, by the field's names and nccl-tests' words.

In: names. Out: numpy's types and functions. Owns both tables. numpy has no bfloat16: ml_dtypes gives it one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ElementType:
    """`word`: nccl-tests' name. `exact_max`: all whole numbers up to it are exact, and so are their sums."""

    name: str
    word: str
    dtype: np.dtype[Any]
    exact_max: int

    @property
    def bytes(self) -> int:
        """Of one element."""
        return self.dtype.itemsize


ELEMENT_TYPES = {
    each.name: each
    for each in (
        ElementType("float32", "float", np.dtype(np.float32), 1 << 24),
        ElementType("float16", "half", np.dtype(np.float16), 1 << 11),
        ElementType("bfloat16", "bfloat16", np.dtype(ml_dtypes.bfloat16), 1 << 8),
        ElementType("int32", "int32", np.dtype(np.int32), (1 << 31) - 1),
    )
}

# An average is a sum that is divided when it is whole.
REDUCTIONS: dict[str, np.ufunc] = {
    "sum": np.add,
    "prod": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "avg": np.add,
}


def divided(values: Array, nranks: int) -> Array:
    """An average of a sum over `nranks` ranks, in the sum's own type; whole numbers are rounded down."""
    division = np.floor_divide if values.dtype.kind == "i" else np.divide
    found: Array = division(values, values.dtype.type(nranks))
    return found
