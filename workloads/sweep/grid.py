"""The cells of a sweep: every combination of its lists, in an order of chance that a seed decides.

In: settings that all cells have, lists of settings. Out: cells. Owns nothing. An order of chance keeps what
changes with the time of day, as a machine's load, from looking like an effect of an option.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from workloads.sweep.cell import Cell, Setting


def cells(common: Sequence[Setting], lists: Sequence[Sequence[Setting]]) -> tuple[Cell, ...]:
    """The product, the last list varying fastest."""
    return tuple(Cell(tuple(common), chosen) for chosen in itertools.product(*lists))


def shuffled(ordered: Sequence[Cell], seed: int) -> tuple[Cell, ...]:
    """The same cells in the order of the seed."""
    mixed = list(ordered)
    random.Random(seed).shuffle(mixed)
    return tuple(mixed)
