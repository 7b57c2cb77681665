"""Which measured rows belong together: those of one path, size and place.

In: a loaded `Run`. Out: its groups in the order of tables, and the seconds a byte of each. Owns that order.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from analysis.bandwidth import seconds_per_byte
from analysis.load import Run
from analysis.statistics import Repetitions


class Key(NamedTuple):
    """`size_bytes`: 0 where the size is a result, so that every row has another."""

    size_bytes: int
    path: str
    in_place: bool


def groups_of(run: Run) -> Iterator[tuple[Key, pd.DataFrame]]:
    """By size, then by path in the order of the configuration, then out of place before in place."""
    rows = run.measured
    paths = dict.fromkeys((*(run.config.paths or ()), *rows["path"].unique()))
    order = {path: place for place, path in enumerate(paths)}
    key = rows["size_bytes"] * run.manifest.measure.size_is_key
    found = {
        Key(int(str(size)), str(path), bool(in_place)): group
        for (size, path, in_place), group in rows.groupby([key, rows["path"], rows["in_place"]])
    }
    yield from sorted(found.items(), key=lambda item: item[0]._replace(path=f"{order[item[0].path]:3}"))


def paces_of(run: Run, groups: Mapping[Key, pd.DataFrame]) -> dict[Key, Repetitions]:
    """Seconds a byte of every iteration, by repetition."""
    return {key: seconds_per_byte(rows, run.manifest.measure) for key, rows in groups.items()}
