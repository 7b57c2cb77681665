"""A file of cells for the command crosscheck: runs, each of which can be made on Mininet and simulated.

In: the path of a YAML file. Out: cells in their order. Owns nothing. What a run's words may be is asked of
run.py's own command line, once with each clock.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from commands import entries_file
from commands.usage import UsageError
from nodes.option import OptionError
from workloads.experiment.records import CLOCKS

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class CrossCell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`run`: words of run.py, without a clock. `minutes`: about as long it takes, both halves together."""

    name: str
    run: str
    minutes: float = 1.0


class CrossFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All cells."""

    cells: tuple[CrossCell, ...]


def words_of(cell: CrossCell, clock: str) -> str:
    """Of run.py."""
    return f"--clock {clock} {cell.run}"


def load(path: Path) -> tuple[CrossCell, ...]:
    """Raises UsageError, which names the line of the first problem."""
    return entries_file.load(path, CrossFile, "cells", _problems)


def _problems(cell: CrossCell, before: Sequence[str]) -> Iterator[str]:
    if not _NAME.fullmatch(cell.name):
        yield f"name {cell.name!r} is not up to 40 small letters, digits and -; choose another"
    if cell.name in before:
        yield f"cell {cell.name} is here a second time; give it another name"
    if "--clock" in cell.run:
        yield f"cell {cell.name} says --clock, and both clocks are run; leave it out"
        return
    from commands.sweep_file import run_of  # it and the workloads take their time

    for clock in CLOCKS:
        try:
            run_of(shlex.split(words_of(cell, clock)))
        except (UsageError, OptionError, ValueError) as wrong:
            yield f"cell {cell.name}: {words_of(cell, clock)}: {wrong}"
            return
