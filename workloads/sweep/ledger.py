"""A sweep's directory: which of its cells have ended, and how.

In: a directory, what ended. Out: `ledger.jsonl`, a line a cell that has ended, on disk before the next cell
begins. Owns that file, and a lock on the directory for as long as the sweep lasts. Whatever kills a sweep
leaves whole lines and at most a part of one behind them, which is cut off when the ledger is opened again.
flock(2): the kernel releases the lock with the process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Status = Literal["complete", "failed"]
_NAME, _LOCK, _CELLS = "ledger.jsonl", "lock", "cells"


class LedgerError(RuntimeError):
    """A directory or a ledger that cannot be used; str() is one sentence with its remedy."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that has ended: a line of ledger.jsonl."""

    cell: Annotated[str, "", "its id: a hash of its options, so another file with the same cell knows it"]
    options: Annotated[tuple[str, ...], "", "its options as words of a command line"]
    status: Annotated[Status, "", "`complete` or `failed`"]
    run: Annotated[str, "", "its directory below `cells`"]
    seconds: Annotated[float, "s", "how long it ran"]
    machine: Annotated[
        str, "",
        "the name of the machine that ran it last; `hostname` in the `environment` of the cell's "
        "manifest.json is the same",
    ]
    finished_at: Annotated[str, "", "when: ISO 8601, UTC"]
    reason: Annotated[str, "", "why it failed, one sentence"] = ""
    node: Annotated[str, "", "the machine's id in the Ray cluster, empty without one"] = ""
    losses: Annotated[int, "", "how often a machine was lost while it ran the cell"] = 0


class Ledger:
    """Also a context manager. Raises LedgerError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cells = directory / _CELLS
        self._path = directory / _NAME
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as failure:
            raise LedgerError(
                f"{directory} cannot be written ({failure.strerror}); choose another --results"
            ) from None
        try:
            self._lock_directory()
            self._entries = self._read()
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115  closed by close
            self._sync_directory()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last(self) -> Mapping[str, Entry]:
        """The last entry of each cell that has ended."""
        return {each.cell: each for each in self._entries}

    def is_done(self, cell: str) -> bool:
        """Whether the cell is complete, and its results are still there."""
        return cell in self.last and is_done(self.last[cell], self.directory)

    def new_run(self, cell: str) -> str:
        """A name that no earlier run of the cell has, whose directory may have been left half made."""
        taken = {path.name.split(".")[0] for path in self.cells.glob(f"{cell}-*")}
        number = 1
        while f"{cell}-{number}" in taken:
            number += 1
        return f"{cell}-{number}"

    def append(self, entry: Entry) -> None:
        """On disk when this returns, or not in the file at all."""
        written_bytes = os.fstat(self._file.fileno()).st_size
        left = memoryview(msgspec.json.encode(entry) + b"\n")
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as failure:
            with suppress(OSError):
                self._file.truncate(written_bytes)
            raise LedgerError(
                f"{self._path} cannot be written ({failure.strerror}); make room and go on with --resume"
            ) from None
        self._entries.append(entry)

    def close(self) -> None:
        self._file.close()
        os.close(self._lock)

    def _lock_directory(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"another sweep is running in {self.directory}; wait for its end, or choose another --run-id"
            ) from None

    def _read(self) -> list[Entry]:
        """Cuts off what a killed sweep wrote last, if that is no whole line."""
        entries, whole_bytes = _entries(self._path)
        if self._path.exists() and self._path.stat().st_size > whole_bytes:
            os.truncate(self._path, whole_bytes)
        return entries

    def _sync_directory(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def last_entries(directory: Path) -> Mapping[str, Entry]:
    """Of a sweep's directory, without its lock: also while the sweep runs. Raises LedgerError."""
    entries, _ = _entries(directory / _NAME)
    return {each.cell: each for each in entries}


def is_done(entry: Entry, directory: Path) -> bool:
    """Whether the cell is complete, and its results are still there."""
    return entry.status == "complete" and (cells_directory(directory) / entry.run).is_dir()


def has_ledger(directory: Path) -> bool:
    """Whether the directory is a sweep's."""
    return (directory / _NAME).is_file()


def cells_directory(directory: Path) -> Path:
    """Where the results of its cells are."""
    return directory / _CELLS


def _entries(path: Path) -> tuple[list[Entry], int]:
    """Those of whole lines, and how many bytes these have. Raises LedgerError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError as wrong:
            raise LedgerError(
                f"{path}:{number}: this is no entry of a ledger ({wrong}); restore or remove the line"
            ) from None
    return found, len(whole)
