"""What a notebook says: load a run, start one, show its report.

In: names of runs, options of run.py. Out: `Frames`, a page. Owns the run.py that it starts, while it runs.
`fresh` in a notebook chooses between `recorded(NAME)`, a run that lies beside the notebooks, and a new one.
"""

import html
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from analysis.analyse import analyse
from analysis.frames import Frames, frames, options
from analysis.report_files import REPORT
from analysis.results_error import ResultsError
from analysis.run_process import ended, started

ROOT = Path(__file__).absolute().parents[1]  # a linked folder belongs to the project that links it
RECORDED = ROOT / "analysis/notebooks/data"
RESULTS = ROOT / "results"
_DRAWN_OF = ("*.csv", "*.json")  # the files that a report is drawn of


class ExperimentFailed(RuntimeError):
    """run.py ended with `status`; str() is the sentence that it printed."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page inside of a notebook, `height` pixels of it at a time."""

    title: str
    text: str
    height: int

    def _repr_html_(self) -> str:
        style = f"width: 100%; height: {self.height}px; border: 1px solid #888; box-sizing: border-box"
        return (
            f'<iframe title="{html.escape(self.title)}" style="{style}" sandbox="allow-popups" '
            f'srcdoc="{html.escape(self.text)}"></iframe>'
        )


def load(run: str | Path) -> Frames:
    """A run: its directory, or its name below results/. Raises ResultsError."""
    place = Path(run)
    if not place.exists() and (RESULTS / run).is_dir():
        place = RESULTS / run
    return frames(place)


def recorded(name: str) -> Frames:
    """One of the runs that lie in the repository, for notebooks. Raises ResultsError."""
    if not (RECORDED / name / "manifest.json").is_file():
        there = sorted(path.parent.name for path in RECORDED.glob("*/manifest.json"))
        raise ResultsError(f"no run {name!r} is recorded; choose from {', '.join(there)}")
    return frames(RECORDED / name)


def experiment(*words: str) -> Frames:
    """Start a run with these options of run.py, in one text or in words, show its progress, return the run.
    Raises ExperimentFailed, also of a run with wrong values. An interrupt ends the run, too."""
    given = options(shlex.split(words[0]) if len(words) == 1 else words)
    with TemporaryFile() as printed:
        command = [sys.executable, str(ROOT / "run.py"), *given, "--json"]
        status, said = ended(started(command, printed), _show)
        printed.seek(0)
        if status:
            raise ExperimentFailed(status, _sentence(said, status))
        report = Path(json.loads(printed.read())["report"])
    return frames(report.parent)


def repeat(run: Frames) -> Frames:
    """Start a run as that one was started. Raises ExperimentFailed."""
    return experiment(*options(run.run.manifest.argv))


def report(run: Frames, height: int = 700) -> Page:
    """The run's report, in the notebook. Nothing is written into the run's directory."""
    place = run.run.directory.path
    with TemporaryDirectory() as copy:
        for file in (file for pattern in _DRAWN_OF for file in place.glob(pattern)):
            shutil.copy(file, copy)
        analyse(Path(copy))
        return Page(f"Report of run {run.name}", (Path(copy) / REPORT).read_text("utf-8"), height)


def _show(line: str, shown: str) -> None:
    """`line` in the place of `shown`, or below it if that is to stay (""). A cell's output and a terminal
    both go back to the line's begin."""
    print(f"\r{line.ljust(len(shown))}", end="", flush=True)


def _sentence(said: Sequence[str], status: int) -> str:
    """What run.py printed last of its own."""
    own = [line.removeprefix("run.py: ") for line in said if line.startswith("run.py: ")]
    return own[-1] if own else f"run.py ended with status {status}, saying {' '.join(said[-3:]) or 'nothing'}"
