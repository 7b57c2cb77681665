"""Reads a csv file of a run whose rows are records.

In: the file's bytes, the record. Out: checked records. Owns nothing. The file may have been written by
somebody else: a value that no run writes is refused by one sentence with its line. A last line that is not
whole, as on a full disk, is left out.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from analysis.results_error import ResultsError
from analysis.samples import is_word

LIMIT_BYTES = 256 << 20

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

_Row = TypeVar("_Row", bound=msgspec.Struct)


def read_rows(data: bytes, path: Path, kind: type[_Row]) -> Sequence[_Row]:
    """The whole rows of `data`, which `path` held: the fields of `kind` are its columns, those that are text
    are words, those with a default may lack. Raises ResultsError."""
    lines = data.decode("utf-8", "replace").splitlines()[: data.count(b"\n")]
    names = lines[0].split(",") if lines else []
    if missing := [name for name in _required(kind) if lines and name not in names]:
        raise ResultsError(f"{path} lacks column {', '.join(missing)}; use the sources that made the run")
    rows = csv.reader(lines[1:])
    return [
        _row(dict(zip(names, cells, strict=False)), path, line, kind) for line, cells in enumerate(rows, 2)
    ]


def _required(kind: type[_Row]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.required)


def _row(cells: Mapping[str, str], path: Path, line: int, kind: type[_Row]) -> _Row:
    known = {name: cell or None for name, cell in cells.items()}
    try:
        row = msgspec.convert(known, kind, strict=False)
    except (msgspec.ValidationError, ArithmeticError) as error:
        raise ResultsError(f"{path} line {line} breaks its schema: {error}; repeat the run") from error
    for word in msgspec.structs.astuple(row):
        if isinstance(word, str) and not is_word(word):
            raise ResultsError(f"{path} line {line} has {word[:80]!r}, which is not a word; repeat the run")
    return row
