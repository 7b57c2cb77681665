"""Reads usage.csv: what each trial used of the machine and of the links.

In: the file's bytes. Out: checked records. Owns the file's columns and their ranges. The file may have been
written by somebody else: a value that no run writes is refused by one sentence with its line. A last line
that is not whole, as on a full disk, is left out.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from analysis.results_error import ResultsError
from analysis.samples import is_word

LIMIT_BYTES = 256 << 20
NAME = "usage.csv"

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Usage(msgspec.Struct, frozen=True):
    """A process, a core or a link in one trial. Units are in the names; None: not about this kind.

    `timed_s`: the timed parts of its `iterations`, together; `observed_s`: between the readings around them,
    `readings` of which fell within. `busy_s`, `wait_s` (for a CPU) and `steal_s` are what was counted there.
    A link's `bytes` and `packets` left its interface; `burst_bytes` pass its token bucket at once.
    """

    path: str
    size_bytes: Count
    repetition: Count
    kind: Literal["process", "core", "link"]
    name: str
    timed_s: Seconds
    iterations: Count
    readings: Count
    observed_s: Seconds
    busy_s: Seconds | None
    wait_s: Seconds | None
    steal_s: Seconds | None
    bytes: Count | None
    packets: Count | None
    rate_bps: Count | None
    burst_bytes: Count | None
    mtu: Count | None


def read_usage(data: bytes, path: Path) -> Sequence[Usage]:
    """The whole rows of `data`, which `path` held. Raises ResultsError."""
    lines = data.decode("utf-8", "replace").splitlines()[: data.count(b"\n")]
    names = lines[0].split(",") if lines else []
    if missing := [name for name in Usage.__struct_fields__ if lines and name not in names]:
        raise ResultsError(f"{path} lacks column {', '.join(missing)}; use the sources that made the run")
    rows = csv.reader(lines[1:])
    return [_row(dict(zip(names, cells, strict=False)), path, line) for line, cells in enumerate(rows, 2)]


def _row(cells: Mapping[str, str], path: Path, line: int) -> Usage:
    known = {name: cell or None for name, cell in cells.items()}
    try:
        row = msgspec.convert(known, Usage, strict=False)
    except (msgspec.ValidationError, ArithmeticError) as error:
        raise ResultsError(f"{path} line {line} breaks its schema: {error}; repeat the run") from error
    for word in (row.path, row.name):
        if not is_word(word):
            raise ResultsError(f"{path} line {line} has {word[:80]!r}, which is not a word; repeat the run")
    return row
