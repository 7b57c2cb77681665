"""The command compare: what became faster or slower from one run, or one sweep, to another.

In: two directories. Out: a table on stdout, or Markdown, or JSON; exit status 2 for runs that are unlike,
unless --force is given, and 4 if a row is slower by more than --threshold and not by chance. Owns nothing;
writes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from analysis.results_error import ResultsError
from commands.usage import UsageError
from topologies.quantity import chance
from topologies.topology_error import TopologyError
from workloads.sweep.ledger import LedgerError, cells_directory, has_ledger, is_done, last_entries

if TYPE_CHECKING:
    from analysis.comparison_text import Side, Told
    from analysis.likeness import Differs
    from analysis.load import Run

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (ResultsError, LedgerError)
REGRESSION = 4  # the exit status of a row that is slower than --threshold allows
_NAMED_MAX = 5

First = Annotated[Path, typer.Argument(help="Directory of the earlier run, or sweep.", metavar="A")]
Second = Annotated[Path, typer.Argument(help="Directory of the later one.", metavar="B")]
Threshold = Annotated[
    str | None,
    typer.Option(
        help="End with status 4 if a row has lost more speed than that, as 5%, and not by chance.",
        metavar="SHARE",
    ),
]


def command(
    first: First,
    second: Second,
    threshold: Threshold = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare runs of unlike machines or configurations, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, as for a pull request.")
    ] = False,
) -> int:
    """What became faster or slower from run A to run B, or from sweep A to sweep B, and whether by chance."""
    if json and markdown:
        raise UsageError("--json and --markdown are two forms of one text; leave one out")
    limit = None if threshold is None else _share(threshold)
    from analysis.comparison_text import markdown as as_markdown
    from analysis.comparison_text import text, verdict  # pandas takes its time

    told = _told(first, second, limit, force)
    if limit is not None:
        _check_power(told)
    shown = _json(told) if json else as_markdown(told) if markdown else text(told)
    print(shown, end="")
    if limit is not None and told.regressions:
        print(f"run.py: {verdict(told)}", file=sys.stderr)
        return REGRESSION
    return 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two runs; `cell`: of a sweep its options, '' of a run."""

    cell: str
    a: Path
    b: Path


def _told(first: Path, second: Path, threshold: float | None, force: bool) -> Told:
    """Everything that is to be said. Raises UsageError for what is unlike, and ResultsError."""
    from analysis.comparison import ComparedRow, compare
    from analysis.comparison_text import Told
    from analysis.likeness import differences
    from analysis.load import load

    pairs, alone = _pairs(first, second)
    rows: list[ComparedRow] = []
    unlike: dict[Differs, None] = {}
    runs: tuple[list[Run], list[Run]] = ([], [])
    for pair in pairs:
        a, b = load(pair.a), load(pair.b)
        unlike |= dict.fromkeys(differences(a.manifest, b.manifest))
        if not force:
            _check_like(list(unlike), pair)
        compared = compare(a, b, pair.cell)
        rows += compared.rows
        alone += [f"{pair.cell}: {said}" if pair.cell else said for said in compared.alone]
        for side, run in zip(runs, (a, b), strict=True):
            side.append(run)
    return Told(_side(first, runs[0]), _side(second, runs[1]), rows, alone, list(unlike), threshold)


def _pairs(first: Path, second: Path) -> tuple[list[_Pair], list[str]]:
    """What is compared with what, and what has no counterpart. Raises UsageError and ResultsError."""
    is_sweep = has_ledger(first), has_ledger(second)
    if not any(is_sweep):
        return [_Pair("", first, second)], []
    if not all(is_sweep):
        sweep, run = (first, second) if is_sweep[0] else (second, first)
        raise UsageError(f"{sweep} is a sweep and {run} is none; compare two runs, or two sweeps")
    ours, theirs = _cells(first), _cells(second)
    shared = [cell for cell in ours if cell in theirs]
    if not shared:
        raise ResultsError(f"{first} and {second} have no complete cell with the same options in common")
    common = set.intersection(*(set(ours[cell][0]) for cell in shared)) if len(shared) > 1 else set()
    pairs = [
        _Pair(" ".join(word for word in ours[cell][0] if word not in common), ours[cell][1], theirs[cell][1])
        for cell in shared
    ]
    alone = [
        f"cell {' '.join(cells[cell][0])} is complete in {which} alone"
        for cells, others, which in ((ours, theirs, "the first"), (theirs, ours, "the second"))
        for cell in cells
        if cell not in others
    ]
    return sorted(pairs, key=lambda pair: pair.cell), alone


def _cells(sweep: Path) -> dict[str, tuple[tuple[str, ...], Path]]:
    """The options and the directory of each complete cell, by its id."""
    return {
        cell: (entry.options, cells_directory(sweep) / entry.run)
        for cell, entry in last_entries(sweep).items()
        if is_done(entry, sweep)
    }


def _check_like(unlike: Sequence[Differs], pair: _Pair) -> None:
    """Raises UsageError where the two are of different machines, or asked for different things."""
    forbidding = [each for each in unlike if each.forbids]
    if not forbidding:
        return
    named = "; ".join(map(str, forbidding[:_NAMED_MAX]))
    more = f" and {len(forbidding) - _NAMED_MAX} more" if len(forbidding) > _NAMED_MAX else ""
    raise UsageError(
        f"{pair.a} and {pair.b} are unlike in {named}{more}; compare runs of one machine and one command "
        "line, or give --force"
    )


def _check_power(told: Told) -> None:
    """A gate that no row could fail is none. Raises UsageError."""
    from analysis.comparison import TOO_FEW
    from analysis.comparison_text import where

    few = [row for row in told.rows if row.outcome == TOO_FEW]
    if few:
        row = few[0]
        raise UsageError(
            f"--threshold: {row.a_repetitions} and {row.b_repetitions} repetitions of {where(row)} tell no "
            "difference from chance; repeat both with --repeat 5, or leave --threshold out"
        )


def _side(directory: Path, runs: Sequence[Run]) -> Side:
    from analysis.comparison_text import Side

    return Side(str(directory), ", ".join(dict.fromkeys(_sources(runs))))


def _sources(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        git = run.manifest.git
        if git is None:
            yield "sources unknown"
        else:
            yield f"commit {git.commit[:12]}{' with changes' if git.dirty else ''}"


def _share(text: str) -> float:
    """Raises UsageError."""
    try:
        return chance(text)
    except TopologyError:
        raise UsageError(f"--threshold {text} is no share; write for example 5% or 0.05") from None


def _json(told: Told) -> str:
    """What programs read: what is compared, in what it is unlike, the rows, and the verdict."""
    from analysis.comparison_text import verdict

    printed = {
        "a": told.a,
        "b": told.b,
        "verdict": verdict(told),
        "threshold": told.threshold,
        "regressions": None if told.threshold is None else len(told.regressions),
        "unlike": [each for each in told.differences if each.forbids],
        "differs": [each for each in told.differences if not each.forbids],
        "left_out": told.alone,
        "rows": told.rows,
    }
    return msgspec.json.format(msgspec.json.encode(printed)).decode() + "\n"
