"""The types of elements and the reductions that collectives know, by the field's names and nccl-tests' words.

In: names. Out: numpy's types and functions. Owns both tables. numpy has no bfloat16: ml_dtypes gives it one.
Both are imported when they are first needed: options and help are about names alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"


@dataclass(frozen=True, slots=True)
class ElementType:
    """`word`: nccl-tests' name. `exact_max`: all whole numbers up to it are exact, and so are their sums."""

    name: str
    word: str
    exact_max: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """numpy's."""
        return _dtype(self.name)

    @property
    def bytes(self) -> int:
        """Of one element."""
        return self.dtype.itemsize


@functools.cache
def _dtype(name: str) -> np.dtype[Any]:
    import ml_dtypes
    import numpy as np

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


ELEMENT_TYPES = {
    each.name: each
    for each in (
        ElementType("float32", "float", 1 << 24),
        ElementType("float16", "half", 1 << 11),
        ElementType("bfloat16", "bfloat16", 1 << 8),
        ElementType("int32", "int32", (1 << 31) - 1),
    )
}

# An average is a sum that is divided when it is whole.
REDUCTIONS = {"sum": "add", "prod": "multiply", "min": "minimum", "max": "maximum", "avg": "add"}


def reduction(redop: str) -> np.ufunc:
    """numpy's function of two elements."""
    import numpy as np

    found: np.ufunc = getattr(np, REDUCTIONS[redop])
    return found


def divided(values: Array, nranks: int) -> Array:
    """An average of a sum over `nranks` ranks, in the sum's own type; whole numbers are rounded down."""
    import numpy as np

    division = np.floor_divide if values.dtype.kind == "i" else np.divide
    found: Array = division(values, values.dtype.type(nranks))
    return found
