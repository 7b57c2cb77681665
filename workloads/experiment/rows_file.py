"""A csv file of a run's rows, which ends with whole rows, on a full disk too.

In: records of one kind, some at a time. Out: the file. Owns it while it is written.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path

import msgspec

from workloads.experiment.records import SamplesError


class RowsFile:
    """A file of `kind`'s rows, made anew; raises SamplesError where a trial cannot be added."""

    def __init__(self, path: Path, kind: type[msgspec.Struct]) -> None:
        self._path = path
        self._written_bytes = 0
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115  closed by __exit__
        except OSError as failure:
            raise self._error(failure) from failure
        self._add([kind.__struct_fields__])

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, rows: Sequence[msgspec.Struct]) -> None:
        """Add a trial, or nothing of it."""
        self._add([msgspec.structs.astuple(row) for row in rows])

    def _add(self, rows: Sequence[Sequence[object]]) -> None:
        text = StringIO()
        csv.writer(text).writerows(rows)
        left = memoryview(text.getvalue().encode("utf-8"))
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as failure:
            with suppress(OSError):
                self._file.truncate(self._written_bytes)
            raise self._error(failure) from failure
        self._written_bytes = self._file.tell()

    def _error(self, failure: OSError) -> SamplesError:
        return SamplesError(
            f"{self._path} cannot be written ({failure.strerror}); the trials before are kept, make room and "
            "repeat the run"
        )
