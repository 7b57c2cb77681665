"""Published claims, and what becomes of each here.

In: a claim, the directories of its runs. Out: its figure, a verdict. Owns the record of a claims file
(commands/claims.yaml), the checkers, and the file of outcomes.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from analysis.results_error import ResultsError

SUMMARY = "summary.csv"
OUTCOMES = "claims.json"
REPRODUCED, NOT_REPRODUCED, NOT_POSSIBLE = "reproduced", "not reproduced", "not possible here"


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell of a run's summary.csv: the only row of `path`."""

    column: str
    path: str = "devmem"
    run: Annotated[int, Meta(ge=1, description="Which of the claim's runs, from 1.")] = 1


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was published, and how it is looked for: `scale` times `value`, over `over` if there is one."""

    name: str
    claim: str
    source: str
    published: str
    published_value: float | None = None
    runs: Annotated[
        tuple[str, ...], Meta(description="Words of run.py, or -m and a module that writes a summary.csv.")
    ] = ()
    minutes: float = 0.0
    value: Reading | None = None
    over: Reading | None = None
    scale: float = 1.0
    unit: str = ""
    checker: Literal["between", "at_least", "at_most"] = "between"
    low: float | None = None
    high: float | None = None
    note: str = ""
    impossible: Annotated[str, Meta(description="Why this testbed cannot show it; then it has no runs.")] = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`ours`: None where nothing was read; `runs`: their directories, below that of the outcomes."""

    claim: Claim
    verdict: str
    reason: str = ""
    ours: float | None = None
    runs: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ours_text(self) -> str:
        return "-" if self.ours is None else with_unit(self.ours, self.claim.unit)

    @property
    def verdict_text(self) -> str:
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict


class _Checker(msgspec.Struct, frozen=True):
    needs: tuple[str, ...]
    holds: Callable[[float, float, float], bool]


# Of a value and its bounds. A bound that a checker does not need is not given.
CHECKERS = {
    "between": _Checker(("low", "high"), lambda value, low, high: low <= value <= high),
    "at_least": _Checker(("low",), lambda value, low, _: value >= low),
    "at_most": _Checker(("high",), lambda value, _, high: value <= high),
}


def with_unit(value: float, unit: str) -> str:
    """Four digits."""
    return f"{value:.4g} {unit}".rstrip()


def bounds_text(claim: Claim) -> str:
    """What the checker asks for, as `0.945 to 0.9891`; "" of a claim that is not checked."""
    ends = [with_unit(end, "") for end in (claim.low, claim.high) if end is not None]
    words = {"between": " to ".join(ends), "at_least": f"at least {ends[0] if ends else ''}"}
    return "" if claim.impossible else words.get(claim.checker, f"at most {ends[-1] if ends else ''}")


def ours(claim: Claim, run_dirs: Sequence[Path]) -> float:
    """The claim's figure, of its runs in their order. Raises ResultsError."""
    assert claim.value is not None, "a claim with runs has a value; the claims file was checked"
    value = claim.scale * _cell(claim.value, run_dirs)
    if claim.over is None:
        return value
    under = _cell(claim.over, run_dirs)
    if not under:
        raise ResultsError(f"{claim.over.column} of {claim.over.path} is 0, which nothing can be divided by")
    return value / under


def judged(claim: Claim, run_dirs: Sequence[Path]) -> Outcome:
    """What the claim's runs, all of which went well, say of it."""
    try:
        value = ours(claim, run_dirs)
    except (ResultsError, OSError) as failure:
        return Outcome(claim=claim, verdict=NOT_REPRODUCED, reason=str(failure))
    low, high = claim.low or 0.0, claim.high or 0.0
    if CHECKERS[claim.checker].holds(value, low, high):
        return Outcome(claim=claim, verdict=REPRODUCED, ours=value)
    why = f"it should be {bounds_text(claim)}{_of_times(claim, run_dirs)}"
    return Outcome(claim=claim, verdict=NOT_REPRODUCED, reason=why, ours=value)


def _of_times(claim: Claim, run_dirs: Sequence[Path]) -> str:
    """What the run itself says of the row's times, which may be why."""
    assert claim.value is not None
    row = _row(claim.value, run_dirs)
    verdict, reason = row.get("verdict", ""), row.get("verdict_reason", "")
    return f" (the run's times are {verdict}: {reason})" if reason else ""


def _cell(reading: Reading, run_dirs: Sequence[Path]) -> float:
    row, place = _row(reading, run_dirs), run_dirs[reading.run - 1] / SUMMARY
    text = row.get(reading.column)
    if text is None:
        raise ResultsError(f"{place} has no column {reading.column}")
    try:
        return float(text)
    except ValueError:
        raise ResultsError(f"{reading.column} of {reading.path} in {place} is {text!r}, no number") from None


def _row(reading: Reading, run_dirs: Sequence[Path]) -> dict[str, str]:
    place = run_dirs[reading.run - 1] / SUMMARY
    with open(place, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("path") == reading.path]
    if len(rows) != 1:
        raise ResultsError(f"{place} has {len(rows)} rows of {reading.path}, not one; ask for one size")
    return rows[0]
