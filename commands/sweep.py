"""The command sweep: a run for each combination of a file's lists, on this machine or on a Ray cluster's.

In: words of a command line, a sweep file. Out: a directory with a ledger, the runs' own directories below
`cells`, a summary of all of them, a table on stdout; exit status 1 if a cell failed. Owns the sweep's
directory while it runs.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from analysis import sweep as summary
from analysis.aligned import aligned
from commands.checks import check_room
from commands.measure import shown
from commands.place import Place
from commands.placement import taking_part
from commands.prediction import predicted_s
from commands.run import Settled
from commands.stop import Interrupted, Stop
from commands.sweep_file import PlannedSweep, SweepProblems, load
from commands.sweep_progress import SweepProgress
from commands.usage import UsageError
from topologies.mininet.cgroup import room
from topologies.mininet.fabric import FabricError
from topologies.mininet.user_namespace import obstacle
from workloads.experiment.manifest import sources
from workloads.experiment.records import SIMULATED
from workloads.options import DAY_S
from workloads.sweep.cell import Cell
from workloads.sweep.estimate import Guess, estimates_s, guess, told
from workloads.sweep.ledger import (
    Entry,
    Ledger,
    LedgerError,
    cells_directory,
    has_ledger,
    is_done,
    last_entries,
)
from workloads.sweep.local import PROJECT, LocalRunner
from workloads.sweep.ray_protocol import Connect
from workloads.sweep.ray_runner import LOG_NAME, RayRunner
from workloads.sweep.runner import Runner, RunnerError
from workloads.sweep.sweep import Sweep

CONTEXT_SETTINGS: dict[str, Any] = {}
FAILURES = (FabricError, LedgerError, RunnerError)


def command(
    file: Annotated[Path, typer.Argument(help="A sweep file (YAML): see docs/sweeps.md.", metavar="FILE")],
    results: Annotated[
        Path | None, typer.Option(help="Where the sweep's directory goes.  [default: results beside run.py]")
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="Its name.  [default: the sweep's]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on: run what is not complete yet.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and list all cells and their time; run none.")
    ] = False,
    limit: Annotated[
        float, typer.Option(help="Seconds after which a cell is ended.", min=1, max=DAY_S)
    ] = 3600.0,
    ray_address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster whose machines run the cells, as auto.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Where run.py is on those machines.  [default: as here]")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds that a cell waits for a free machine.", min=1, max=DAY_S)
    ] = 3600.0,
) -> int:
    """Run every combination of the options that a file lists; what fails ends its own cell only."""
    if ray_address is None and project is not None:
        raise UsageError(
            "--project is for machines of a Ray cluster; give --ray-address too, or leave it out"
        )
    machines = _Machines(ray_address, project, limit, wait)
    try:
        planned = load(file, machines.check)
    except SweepProblems as found:
        for problem in found.problems:
            print(f"{file}:{problem.line}: {problem.text}", file=sys.stderr)
        return 2
    except OSError as failure:
        raise UsageError(f"{file} cannot be read ({failure.strerror}); correct the name") from None
    place = Place(run_id=run_id or planned.name, results=results or Place().results)
    directory = place.run_directory("")
    if dry_run:
        return _tell(planned, directory)
    if directory.exists() and not resume:
        raise UsageError(f"{directory} exists already; go on there with --resume, or choose another --run-id")
    _check_same(planned, directory)
    return _sweep(file, planned, directory, machines)


def _check_same(planned: PlannedSweep, directory: Path) -> None:
    """Where there is a directory, it is a sweep's, with a cell at least of these. Raises UsageError."""
    begun = has_ledger(directory) or cells_directory(directory).is_dir()
    if not begun and directory.is_dir() and any(directory.iterdir()):
        raise UsageError(f"{directory} is no sweep's directory: --resume needs one; choose another --run-id")
    ended = set(last_entries(directory))
    if ended and ended.isdisjoint(cell.id for cell in planned.cells):
        raise UsageError(
            f"{directory} is of another sweep: none of the {len(ended)} cells that have ended there is among "
            f"these {len(planned.cells)}; choose another --run-id"
        )


@dataclass(frozen=True, slots=True)
class _Machines:
    """Which run the cells: this one without an `address`."""

    address: str | None
    project: str | None
    limit_s: float
    wait_s: float

    def check(self, run: Settled) -> None:
        """Raises UsageError where this machine is to run it and has no room."""
        if self.address is None and run.config.clock != SIMULATED:
            check_room(run.config, taking_part(run.config, run.network), room())

    def runner(self, ledger: Ledger, watch: Callable[[], None], simulated: bool) -> Any:
        """`simulated`: no cell measures this machine, so each of its CPUs may run one."""
        if self.address is None:
            places = len(os.sched_getaffinity(0)) if simulated else 1
            return LocalRunner(ledger.cells, self.limit_s, places=places)
        git, _ = sources(PROJECT)
        where = str(PROJECT) if self.project is None else self.project
        commit = "" if git is None else git.commit
        cells = str(ledger.cells.absolute())
        asked = Connect(self.address, cells, where, commit, self.limit_s, self.wait_s)
        return RayRunner(asked, ledger.directory / LOG_NAME, watch)


def _sweep(file: Path, planned: PlannedSweep, directory: Path, machines: _Machines) -> int:
    """Run what is not done; returns the exit status."""
    stop = Stop()
    simulated = all(run.config.clock == SIMULATED for run in planned.runs)
    if machines.address is None and not simulated:
        check_privileges()
    with Ledger(directory) as ledger:
        (directory / "sweep.yaml").write_bytes(file.read_bytes())
        try:
            with stop, closing(machines.runner(ledger, stop.check, simulated)) as runner:
                _run(planned, ledger, runner, stop)
        except Interrupted as stopped:
            _say_how_to_go_on(planned, ledger, stopped)
            raise
        finally:
            _write_summary(planned.cells, ledger)
        return report(planned.cells, ledger)


def check_privileges() -> None:
    """Each run asks for what it needs itself; what none of them can have is told before the first. Raises
    FabricError."""
    if os.geteuid() != 0 and (why := obstacle()):
        raise FabricError(f"a network without root needs a user namespace, but {why}, or run it by sudo")


def _run(planned: PlannedSweep, ledger: Ledger, runner: Runner, stop: Stop) -> None:
    guesses = _guesses(planned)

    def estimates() -> dict[str, float]:
        return _estimates(guesses, ledger.last)

    total, console = len(planned.cells), Console(stderr=True)
    with SweepProgress(total, runner, estimates, console) as progress:
        Sweep(planned.cells, ledger, stop.check, progress.show).run(runner)


def _guesses(planned: PlannedSweep) -> dict[str, Guess]:
    """Of each cell; what the links take is found once."""
    return {
        cell.id: guess(run.config, predicted_s(run.config, run.network))
        for cell, run in zip(planned.cells, planned.runs, strict=True)
    }


def _estimates(guesses: Mapping[str, Guess], last: Mapping[str, Entry]) -> dict[str, float]:
    return estimates_s(
        guesses, {name: each.seconds for name, each in last.items() if each.status == "complete"}
    )


def _tell(planned: PlannedSweep, directory: Path) -> int:
    """The cells, and how long they will take."""
    last = last_entries(directory)
    done = {name for name, entry in last.items() if is_done(entry, directory)}
    seconds = _estimates(_guesses(planned), last)
    rows = [
        (str(number), cell.id, "complete" if cell.id in done else told(seconds[cell.id]), cell.label)
        for number, cell in enumerate(planned.cells, 1)
    ]
    print(aligned([("#", "cell", "time", "options"), *rows]), end="")
    left = [cell for cell in planned.cells if cell.id not in done]
    total = sum(seconds[cell.id] for cell in left)
    by = "by the cells that have ended" if last else "guessed; the cells that end make it better"
    print(f"# {len(left)} of {len(planned.cells)} cells to run on one machine: {told(total)} ({by})")
    return 0


def _say_how_to_go_on(planned: PlannedSweep, ledger: Ledger, stopped: Interrupted) -> None:
    done = sum(ledger.is_done(cell.id) for cell in planned.cells)
    name = signal.Signals(stopped.status - 128).name
    print(
        f"run.py: {name}: {done} of {len(planned.cells)} cells are complete; the same command with --resume "
        "goes on",
        file=sys.stderr,
    )


def _write_summary(cells: Sequence[Cell], ledger: Ledger) -> None:
    last = ledger.last
    runs = [
        summary.CellRun(
            cell.id,
            last[cell.id].machine,
            {each.flag.removeprefix("--"): each.text for each in cell.varied},
            ledger.cells / last[cell.id].run,
        )
        for cell in cells
        if ledger.is_done(cell.id)
    ]
    (ledger.directory / summary.NAME).write_text(summary.joined(runs), encoding="utf-8")


def report(cells: Sequence[Cell], ledger: Ledger) -> int:
    """The table of all cells; returns the exit status."""
    last = ledger.last
    entries = [last[cell.id] for cell in cells]
    rows = [
        (
            entry.status,
            f"{entry.seconds:.1f}",
            entry.machine,
            entry.run,
            f"{cell.label}  {entry.reason}".rstrip(),
        )
        for cell, entry in zip(cells, entries, strict=True)
    ]
    print(aligned([("status", "s", "machine", "run", "options"), *rows]), end="")
    failed = sum(entry.status == "failed" for entry in entries)
    where = shown(ledger.directory / summary.NAME)
    print(f"# {len(cells) - failed} cells complete, {failed} failed; {where}")
    return int(failed > 0)
