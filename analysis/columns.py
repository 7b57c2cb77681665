"""Reads a large table of known columns by pandas' parser in C, on as many threads as there are CPUs.

In: the bytes of whole lines without quotation marks, the columns' types. Out: a typed table, or None for
anything out of the ordinary: a cell that is no number, a line with a cell too many. Who wants to know what it
was reads the lines one by one. Owns nothing.
"""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pandas as pd

_PIECE_BYTES = 16 << 20
STR = pd.StringDtype("python", na_value=np.nan)  # the same with and without pyarrow, and quick to copy
_BOOLEANS = (b"rue", b"RUE", b"alse", b"ALSE")  # which the parser would take for numbers


@dataclass(frozen=True, slots=True)
class Types:
    """Names of columns. `nullable` numbers may be empty, which is NaN."""

    words: Sequence[str]
    whole: Sequence[str]
    numbers: Sequence[str]
    nullable: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.words, *self.whole, *self.numbers, *self.nullable)


def read_columns(lines: bytes, types: Types) -> pd.DataFrame | None:
    """`lines`: the header and what follows, each ended by a newline. Columns that the header does not name
    are not in the table."""
    begin = lines.find(b"\n") + 1
    names = lines[: begin - 1].decode("utf-8", "replace").split(",")
    if len(set(names)) < len(names):
        return None
    pieces = _pieces(lines, begin)
    try:
        with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
            warnings.simplefilter("ignore")  # of a cast that then fails
            found = [*pool.map(lambda piece: _piece(piece, names, types), pieces)]
    except (ValueError, OverflowError):
        return None
    return _joined(found, types)


def _is_even(rows: bytes, columns: int) -> bool:
    """Whether every line has so many cells: the parser says nothing of one too many or too few."""
    cells = np.frombuffer(rows, np.uint8)
    ends = cells == ord("\n")
    separators = np.flatnonzero(ends | (cells == ord(",")))
    last = separators[columns - 1 :: columns]
    return len(separators) == len(last) * columns == int(np.count_nonzero(ends)) * columns and bool(
        ends[last].all()
    )


def _pieces(lines: bytes, begin: int) -> list[bytes]:
    """Of whole lines from `begin` on, about alike in length."""
    length = len(lines) - begin
    count = max(1, length // _PIECE_BYTES)
    ends = [lines.find(b"\n", begin + length * number // count) + 1 for number in range(1, count)]
    begins = [begin, *ends]
    return [lines[begin:end] for begin, end in zip(begins, [*ends, len(lines)], strict=True)]


def _piece(rows: bytes, names: Sequence[str], types: Types) -> pd.DataFrame:
    if not _is_even(rows, len(names)) or any(word in rows for word in _BOOLEANS):
        raise ValueError("a line has a cell too many or too few, or one that is no number")
    kinds = dict.fromkeys(types.words, "category") | dict.fromkeys(types.whole, "int64")
    kinds |= dict.fromkeys((*types.numbers, *types.nullable), "float64")
    there = [name for name in types.names if name in names]
    return pd.read_csv(
        BytesIO(rows),
        names=list(names),
        header=None,
        usecols=there,
        dtype={name: kinds[name] for name in there},
        keep_default_na=False,
        na_values={name: [""] for name in types.nullable if name in names},
        skip_blank_lines=False,
    )


def _joined(pieces: Sequence[pd.DataFrame], types: Types) -> pd.DataFrame:
    """One table. Few words occur often: each is looked at once, and rows of them are references to it, which
    are copied as quickly as numbers."""
    words = [name for name in types.words if name in pieces[0]]
    numbers = [piece.drop(columns=words) for piece in pieces]
    table = pd.concat(numbers, ignore_index=True) if len(pieces) > 1 else numbers[0]
    for at, name in enumerate(words):
        texts = [piece[name].cat.categories.to_numpy(object)[piece[name].cat.codes] for piece in pieces]
        table.insert(at, name, pd.Series(np.concatenate(texts), dtype=STR))
    return table
