"""The command reproduce: looks for what was published, claim by claim.

In: words of a command line, a claims file. Out: a table on stdout; a directory with claims.json, report.md,
a figure, and the runs below `runs`; exit status 1 if a claim is not reproduced. Owns that directory while it
runs. A run that fails ends its own claim only.
"""

from __future__ import annotations

import datetime
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from commands.place import Place
from commands.stop import Stop
from commands.usage import UsageError
from topologies.mininet.user_namespace import obstacle
from workloads.sweep.cell_process import CellProcess, command_of
from workloads.sweep.local import PROJECT

if TYPE_CHECKING:
    from analysis.claims import Claim, Outcome

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES: tuple[type[Exception], ...] = ()
CLAIMS = Path(__file__).with_name("claims.yaml")
REPORT, FIGURE = "report.md", "claims.png"
_POLL_S = 0.1
_PATIENCE = 10  # a machine may be so many times slower than the one of the file's minutes
_LEAST_S = 120.0


def command(
    only: Annotated[list[str] | None, typer.Option(help="A claim's name. May be repeated.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Say which claims there are, and run none.")] = False,
    results: Annotated[
        Path | None, typer.Option(help="Where the directory goes.  [default: results beside run.py]")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="A claims file (YAML).  [default: the cover letter's]")
    ] = None,
) -> int:
    """Look for what was published of Device Memory TCP: claim, published figure, ours, verdict."""
    chosen = _chosen(claims or CLAIMS, only or ())
    if listed:
        _tell(chosen)
        return 0
    stop, again = Stop(), shlex.join(["python", "run.py", "reproduce", *_words(claims, only or ())])
    name = f"reproduce-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    directory = (results or Place().results).absolute() / name
    runs = Runs(directory / "runs", stop)
    outcomes: list[Outcome] = []
    with stop:
        runs.directory.mkdir(parents=True)
        for at, claim in enumerate(chosen, 1):
            print(f"{at}/{len(chosen)} {claim.name}, about {claim.minutes:g} min", file=sys.stderr)
            outcomes.append(_outcome(claim, runs))
            _write(directory, outcomes, again)  # what is known by now, should this be ended
    return _end(directory, outcomes)


def _chosen(file: Path, only: Sequence[str]) -> list[Claim]:
    """Raises UsageError."""
    from commands.claims_file import load  # the workloads take their time, and help has none

    claims = load(file)
    names = [claim.name for claim in claims]
    for name in only:
        if name not in names:
            raise UsageError(f"there is no claim {name!r} in {file.name}; choose from {', '.join(names)}")
    return [claim for claim in claims if not only or claim.name in only]


def _tell(claims: Sequence[Claim]) -> None:
    for claim in claims:
        cost = "not possible here" if claim.impossible else f"about {claim.minutes:g} min"
        print(f"{claim.name}: {claim.claim} ({claim.source}; {cost})")


class Runs:
    """What claims have run. Two claims that ask for the same words have one run."""

    def __init__(self, directory: Path, stop: Stop) -> None:
        self.directory = directory
        self._stop = stop
        self._ended: dict[str, tuple[Path, str]] = {}

    def run(self, words: str, name: str, limit_s: float) -> tuple[Path, str]:
        """Its directory, and why it failed, or ""."""
        if words not in self._ended:
            run_dir = self.directory / name
            self._ended[words] = run_dir, self._run(words, run_dir, limit_s)
        return self._ended[words]

    def _run(self, words: str, run_dir: Path, limit_s: float) -> str:
        process = CellProcess(_command(words, run_dir), run_dir, limit_s)
        try:
            while not process.poll():
                self._stop.check()
                time.sleep(_POLL_S)
        except BaseException:
            process.end()
            raise
        return process.reason or ""


def _command(words: str, run_dir: Path) -> list[str]:
    from commands.claims_file import MODULE

    if words.startswith(MODULE):
        return [sys.executable, *shlex.split(words), str(run_dir)]
    return command_of(PROJECT, run_dir, shlex.split(words))


def _outcome(claim: Claim, runs: Runs) -> Outcome:
    from analysis.claims import NOT_POSSIBLE, NOT_REPRODUCED, Outcome, judged

    why = claim.impossible or _unprivileged(claim)
    if why:
        return Outcome(claim=claim, verdict=NOT_POSSIBLE, reason=why)
    began, run_dirs, outcome = time.monotonic(), list[Path](), None
    for number, words in enumerate(claim.runs, 1):
        limit_s = max(_LEAST_S, claim.minutes * 60 * _PATIENCE)
        run_dir, failure = runs.run(words, f"{claim.name}-{number}", limit_s)
        run_dirs.append(run_dir)
        if failure:
            outcome = Outcome(claim=claim, verdict=NOT_REPRODUCED, reason=f"a run failed: {failure}")
            break
    outcome = outcome or judged(claim, run_dirs)
    places = tuple(str(each.relative_to(runs.directory.parent)) for each in run_dirs)
    return msgspec.structs.replace(outcome, runs=places, seconds=round(time.monotonic() - began, 1))


def _unprivileged(claim: Claim) -> str:
    from commands.claims_file import needs_network

    if os.geteuid() == 0 or not needs_network(claim):
        return ""
    why = obstacle()
    return f"a network without root needs a user namespace, but {why}" if why else ""


def _words(claims: Path | None, only: Sequence[str]) -> list[str]:
    """Those of the command line that say what is looked for."""
    return [*(["--claims", str(claims)] if claims else []), *(f"--only={name}" for name in only)]


def _write(directory: Path, outcomes: Sequence[Outcome], again: str) -> None:
    """`again`: the command that repeats it."""
    from analysis.claims import OUTCOMES
    from analysis.claims_text import markdown

    (directory / OUTCOMES).write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)) + b"\n")
    (directory / REPORT).write_text(markdown(outcomes, again), encoding="utf-8")


def _end(directory: Path, outcomes: Sequence[Outcome]) -> int:
    """The table and the figure; returns the exit status."""
    from analysis.claims import NOT_REPRODUCED
    from analysis.claims_plot import figure  # matplotlib takes its time
    from analysis.claims_text import counts
    from commands.measure import shown

    (directory / FIGURE).write_bytes(figure(outcomes).png())
    _print_table(outcomes)
    print(f"# {counts(outcomes)}")
    print(f"# Report: {shown(directory / REPORT)}")
    return int(any(each.verdict == NOT_REPRODUCED for each in outcomes))


def _print_table(outcomes: Sequence[Outcome]) -> None:
    """On a terminal as wide as that, else as lines that programs can read."""
    from analysis.claims_text import HEADS, cells, plain

    if not sys.stdout.isatty():
        print(plain(outcomes), end="")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADS)
    for each in outcomes:
        table.add_row(*cells(each))
    Console(markup=False).print(table)
