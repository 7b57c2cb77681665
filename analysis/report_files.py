"""The files of a run, held against the manifest.

In: a run, the figures that were drawn. Out: name, digest and verdict of each. Owns which files are drawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.ledger import HOST_MEMORY
from analysis.load import Run
from analysis.nics import NICS
from analysis.plots import Drawn
from analysis.printed import UNKNOWN
from analysis.processes import PROCESSES
from analysis.results_error import ResultsError

REPORT, MARKDOWN, SUMMARY = "report.html", "report.md", "summary.csv"
_TABLES = (SUMMARY, NICS, HOST_MEMORY, PROCESSES)
_COMPARED_BYTES = 16 << 30  # of all files together: captures are large, and reading takes time


@dataclass(frozen=True, slots=True)
class HeldFile:
    name: str
    sha256: str
    verdict: str
    bad: bool


def held_files(run: Run, figures: Sequence[Drawn]) -> Iterator[HeldFile]:
    """Every file but the manifest and the reports, which cannot hold their own sums. What analysis draws is
    not held against the manifest: it is new each time, and the first time it is not in there yet."""
    recorded = {name: digest for name, digest in run.manifest.files.items() if not _is_drawn(name)}
    left_bytes = _COMPARED_BYTES
    for name in sorted({*recorded, "samples.csv", *_drawn(figures)} - {"manifest.json"}):
        said = recorded.get(name)
        try:
            found = run.directory.digest(name, left_bytes)
        except (ResultsError, OSError):
            yield HeldFile(name, said or UNKNOWN, "not read: no regular file, or too large", True)
            continue
        if found is None:
            if said is not None:
                yield HeldFile(name, said, "missing", True)
            continue
        digest, length = found
        left_bytes -= length
        if said is None:
            yield HeldFile(name, digest, "drawn" if _is_drawn(name) else "not recorded", False)
        else:
            yield HeldFile(name, digest, "same" if digest == said else "differs", digest != said)


def _drawn(figures: Sequence[Drawn]) -> Iterator[str]:
    yield from _TABLES
    for figure in figures:
        yield from (f"figures/{figure.path.stem}{suffix}" for suffix in (".png", ".svg"))


def _is_drawn(name: str) -> bool:
    return name in (*_TABLES, REPORT, MARKDOWN) or name.startswith("figures/")
