"""A claims file: published claims, each of which can be looked for, or the first problem that it has.

In: the path of a YAML file. Out: claims in their order. Owns nothing. The format is `analysis.claims.Claim`;
what a run's words may be is asked of run.py's own command line.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from analysis.claims import CHECKERS, Claim, Reading
from commands import entries_file
from commands.usage import UsageError
from nodes.option import OptionError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MODULE = "-m "  # how a run begins that is none of run.py


class ClaimsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All claims."""

    claims: tuple[Claim, ...]


def load(path: Path) -> tuple[Claim, ...]:
    """Raises UsageError, which names the line of the first problem."""
    return entries_file.load(path, ClaimsFile, "claims", _problems)


def needs_network(claim: Claim) -> bool:
    """Whether it builds one, for which a process needs privileges."""
    return any(not words.startswith(MODULE) and not _simulated(words) for words in claim.runs)


def _simulated(words: str) -> bool:
    from commands.sweep_file import run_of  # it and the workloads take their time

    return run_of(shlex.split(words)).config.clock == "simulated"


def _problems(claim: Claim, before: Sequence[str]) -> Iterator[str]:
    if not NAME.fullmatch(claim.name):
        yield f"name {claim.name!r} is not up to 40 small letters, digits and -; choose another"
    if claim.name in before:
        yield f"claim {claim.name} is here a second time; give it another name"
    if claim.impossible:
        if claim.runs or claim.value:
            yield f"claim {claim.name} is impossible and has runs or a value; leave them out"
        return
    if not claim.runs or claim.value is None:
        yield f"claim {claim.name} has no runs, or no value; add them, or say why it is impossible"
    for bound in CHECKERS[claim.checker].needs:
        if getattr(claim, bound) is None:
            yield f"claim {claim.name}: the checker {claim.checker} needs {bound}; add it"
    if claim.low is not None and claim.high is not None and claim.low > claim.high:
        yield f"claim {claim.name}: low {claim.low:g} is above high {claim.high:g}; exchange them"
    for reading in filter(None, (claim.value, claim.over)):
        yield from _reading_problems(claim, reading)
    for words in claim.runs:
        yield from _run_problems(claim, words)


def _reading_problems(claim: Claim, reading: Reading) -> Iterator[str]:
    if reading.run > len(claim.runs):
        yield f"claim {claim.name} reads run {reading.run} of {len(claim.runs)}; correct the number"
    elif not claim.runs[reading.run - 1].startswith(MODULE):
        from analysis.summary_row import SummaryRow

        if reading.column not in SummaryRow.__dataclass_fields__:
            yield (
                f"claim {claim.name}: summary.csv has no column {reading.column}; "
                "docs/reference/columns.md lists them"
            )


def _run_problems(claim: Claim, words: str) -> Iterator[str]:
    if words.startswith(MODULE):
        return
    try:
        from commands.sweep_file import run_of

        run_of(shlex.split(words))
    except (UsageError, OptionError, ValueError) as wrong:
        yield f"claim {claim.name}: {words}: {wrong}"
