"""A sweep file: its cells, each of which can be run, or every problem that it has.

In: the path of a YAML file. Out: cells in their order, or `Problem`s with their lines. Owns nothing. The
format is `workloads.sweep.schema`. What an option's value may be, and what goes together, is asked of the
command line of a run itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from commands.offer import Given, offers
from commands.run import Settled, settled
from commands.usage import UsageError
from nodes.option import Declared, OptionError
from topologies.file.reader import Path as PlaceInFile
from topologies.file.reader import Problem, read
from workloads.experiment.records import ExperimentConfig
from workloads.registry import WORKLOADS
from workloads.sweep import grid
from workloads.sweep.cell import Cell, Setting, ValueProblem, run_options
from workloads.sweep.schema import SweepFile

CELLS_MAX = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Check = Callable[[Settled], None]


class SweepProblems(UsageError):
    """What is wrong with a file; str() is the first problem, `problems` has all of them."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        first, *_ = self.problems = sorted(set(problems))
        super().__init__(f"{path}:{first.line}: {first.text}")


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """`cells` in the order of the file's seed; `runs` is what each of them means, in the same order."""

    name: str
    cells: tuple[Cell, ...]
    runs: tuple[Settled, ...]


def load(path: Path, check: Check = lambda _run: None) -> PlannedSweep:
    """`check` may raise UsageError for a run. Raises SweepProblems, and OSError."""
    document = read(path.read_text(encoding="utf-8", errors="replace"), SweepFile)
    if document.value is None:
        raise SweepProblems(path, document.problems)
    reading = _Reading(document.value, document.lines)
    reading.problems += document.problems
    name = reading.name(re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
    cells = reading.cells()
    runs = [] if reading.problems else reading.runs(cells, check)
    if reading.problems:
        raise SweepProblems(path, reading.problems)
    ordered = grid.shuffled(cells, document.value.seed)
    by_id = {cell.id: run for cell, run in zip(cells, runs, strict=True)}
    return PlannedSweep(name, ordered, tuple(by_id[cell.id] for cell in ordered))


class _Reading:
    """Goes on after a problem."""

    def __init__(self, file: SweepFile, lines: dict[PlaceInFile, int]) -> None:
        self.problems: list[Problem] = []
        self._file, self._lines = file, lines
        self._options = run_options()
        self._places: dict[str, PlaceInFile] = {}  # of each flag
        self._command_line = _command_line()

    def name(self, default: str) -> str:
        name = self._file.name or default
        if not _NAME.fullmatch(name):
            self._say(
                ("name",), f"name {name!r} is not up to 64 letters, digits, dots, _ and -; choose another"
            )
        return name

    def cells(self) -> tuple[Cell, ...]:
        """() after a problem."""
        common = [
            self._setting(option, place, written if isinstance(written, tuple) else (written,))
            for option, place, written in self._of("base")
        ]
        lists = [
            [self._setting(option, place, (text,), number) for number, text in enumerate(_listed(written))]
            for option, place, written in self._of("grid")
        ]
        count = 1
        for (_, place, _), values in zip(self._of("grid", quiet=True), lists, strict=True):
            count *= len(values)
            self._check_list(values, place)
        if count > CELLS_MAX:
            self._say(
                ("grid",), f"the grid has {count} cells; choose shorter lists, of {CELLS_MAX} cells at most"
            )
        if self.problems:
            return ()
        return grid.cells(
            [each for each in common if each], [[each for each in values if each] for values in lists]
        )

    def runs(self, cells: Sequence[Cell], check: Check) -> list[Settled]:
        """What each cell means."""
        found: list[Settled] = []
        wrong: dict[tuple[int, str], list[Cell]] = {}
        for cell in cells:
            try:
                run = settled(self._given(cell.words))
                check(run)
                found.append(run)
            except (UsageError, OptionError) as reason:
                wrong.setdefault((self._line_of(str(reason)), str(reason)), []).append(cell)
        for (line, sentence), those in wrong.items():
            which = f"{those[0].label}: " if those[0].varied else ""
            more = f" (and {len(those) - 1} more cells)" if len(those) > 1 else ""
            self.problems.append(Problem(line, f"{which}{sentence}{more}"))
        return found

    def _of(self, part: str, quiet: bool = False) -> Iterator[tuple[Declared, PlaceInFile, Any]]:
        """The options of base or of grid that there are, where they stand, and what is written."""
        for name, written in getattr(self._file, part).items():
            place = (part, name)
            option = self._options.get(name)
            if quiet:
                if option:
                    yield option, place, written
                continue
            if option is None:
                close = get_close_matches(name, self._options, 1)
                remedy = f"perhaps {close[0]!r} is meant" if close else "`run.py --help` lists them"
                self._say(place, f"a run has no option {name!r}; {remedy}")
                continue
            if self._places.setdefault(option.flag, place) != place:
                before = self._lines[self._places[option.flag]]
                self._say(place, f"{option.flag} is given in line {before} already; leave one out")
            yield option, place, written

    def _setting(
        self, option: Declared, place: PlaceInFile, written: Sequence[str | None], number: int | None = None
    ) -> Setting | None:
        """None after a problem."""
        where = place if number is None or (*place, number) not in self._lines else (*place, number)
        try:
            setting = Setting.of(option, *written)
            self._given(setting.words)
            return setting
        except ValueProblem as wrong:
            self._say(where, str(wrong))
        except (UsageError, OptionError) as wrong:
            named = any(text in str(wrong) for text in written if text)
            self._say(where, f"{wrong}" if named else f"{wrong} (it is {written[0]!r})")
        return None

    def _check_list(self, values: Sequence[Setting | None], place: PlaceInFile) -> None:
        if not values:
            self._say(place, f"{place[1]} has no values; give it some, or leave it out")
        known = [each for each in values if each]
        for each in dict.fromkeys(known):
            if known.count(each) > 1:
                self._say(place, f"{place[1]} has {each.text or 'nothing'!r} twice; leave one out")

    def _given(self, words: Sequence[str]) -> Given:
        return _given(self._command_line, words)

    def _line_of(self, sentence: str) -> int:
        """Of the option that a sentence names first; of the grid if it names none."""
        for flag in re.findall(r"--[a-z0-9-]+", sentence):
            if flag in self._places:
                return self._lines[self._places[flag]]
        return self._lines.get(("grid",), 1)

    def _say(self, place: PlaceInFile, sentence: str) -> None:
        self.problems.append(Problem(self._lines.get(place, 1), sentence))


def _listed(written: Any) -> tuple[str | None, ...]:
    return written if isinstance(written, tuple) else (written,)


def run_of(words: Sequence[str]) -> Settled:
    """What these words of run.py mean. Raises UsageError and OptionError."""
    return settled(_given(_command_line(), words))


def _given(command_line: Any, words: Sequence[str]) -> Given:
    """As the command line of a run reads them. Raises UsageError."""
    try:
        given = command_line.main(args=list(words), prog_name="run.py", standalone_mode=False)
    except typer.TyperException as wrong:
        raise UsageError(wrong.format_message()) from None
    assert isinstance(given, Given)
    return given


def _command_line() -> Any:
    """A run's options; what it returns are those that were given."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    given: Any = lambda _context, given: given  # noqa: E731  an int is what commands return
    app.command()(offers(ExperimentConfig, *(each.options for each in WORKLOADS.values()))(given))
    return typer.main.get_command(app)
