"""What the bench has found: figures, each with what it is held against and its goal.

In: values of rounds. Out: records, which are the JSON of a bench, and what they come to. Pure; owns what
"met" means: the median is within the goal. The interval is the bootstrap's of 95 % (analysis/statistics.py),
in which the two values of a round are drawn together.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from analysis.statistics import Repetitions, estimate, ratio

SCHEMA = 1
Of = Literal["ratio", "value", "difference"]


class Goal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bounds, None for none, `of` the ratio to the reference, the value, or its difference from the
    reference."""

    low: float | None = None
    high: float | None = None
    of: Of = "ratio"

    def text(self, unit: str) -> str:
        behind = {"ratio": " x", "value": f" {unit}".rstrip(), "difference": " more"}[self.of]
        if self.low is None:
            return f"<= {self.high:g}{behind}"
        if self.high is None:
            return f">= {self.low:g}{behind}"
        return f"{self.low:g} to {self.high:g}{behind}"

    def holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def at_least(low: float, of: Of = "ratio") -> Goal:
    return Goal(low, None, of)


def at_most(high: float, of: Of = "ratio") -> Goal:
    return Goal(None, high, of)


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """`ours`: a value a round, in `unit`. `reference`: of the same rounds what `against` names, () for none.
    `better`: which way it improves, "" for neither."""

    name: str
    part: str
    unit: str
    ours: tuple[float, ...]
    reference: tuple[float, ...] = ()
    against: str = ""
    goal: Goal | None = None
    better: Literal["higher", "lower", ""] = ""

    def per_round(self) -> list[float]:
        """Of each round its ratio to the reference; the value where there is none, or the goal is of values
        or differences."""
        if not self.reference or (self.goal is not None and self.goal.of != "ratio"):
            return list(self.ours)
        return [ours / theirs for ours, theirs in zip(self.ours, self.reference, strict=True)]


class Found(msgspec.Struct, frozen=True):
    """What a figure comes to: the ratio, value or difference that its goal is of, and its interval (None of
    one round). `met`: None without a goal. `clear`: the interval does not reach across the goal."""

    value: float
    low: float | None
    high: float | None
    met: bool | None
    clear: bool


def find(figure: Figure) -> Found:
    """Raises ValueError for a figure without values."""
    goal = figure.goal
    of: Of = ("ratio" if figure.reference else "value") if goal is None else goal.of
    if of == "ratio":
        come = ratio(rounds_of(figure.ours), rounds_of(figure.reference))
        value, low, high = come.value, come.low, come.high
    else:
        pairs = zip(figure.ours, figure.reference, strict=True) if of == "difference" else ()
        spread = estimate(rounds_of([a - b for a, b in pairs] or figure.ours))
        value, low, high = spread.median, spread.low, spread.high
    if goal is None:
        return Found(value, low, high, None, True)
    clear = low is not None and high is not None and goal.holds(low) == goal.holds(high) == goal.holds(value)
    return Found(value, low, high, goal.holds(value), clear)


def rounds_of(values: Sequence[float]) -> Repetitions:
    """A round is a repetition of one value."""
    return {number: np.array([value]) for number, value in enumerate(values)}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A bench: results/bench-TIME.json. `machine`: what it ran on, in words. `raw`: what every round gave,
    those included that were repeated."""

    schema: int = SCHEMA
    began: str
    machine: dict[str, str]
    rounds: int
    seconds: float
    figures: tuple[Figure, ...]
    raw: tuple[dict[str, float | str], ...]


class ResultError(ValueError):
    """A file is no result of a bench; one sentence."""


def read(path: str) -> Result:
    """Raises ResultError."""
    try:
        with open(path, "rb") as file:
            result = msgspec.json.decode(file.read(), type=Result)
    except OSError as reason:
        raise ResultError(f"{path} cannot be read: {reason.strerror}") from None
    except msgspec.DecodeError as reason:
        raise ResultError(f"{path} is no result of `make bench` ({reason}); give its JSON file") from None
    if result.schema != SCHEMA:
        raise ResultError(f"{path} has schema {result.schema}, this reads {SCHEMA}; repeat that bench")
    return result


def row(figure: Figure) -> tuple[str, ...]:
    """Of the table: figure, ours, reference, ratio, interval, goal, met."""
    found, goal = find(figure), figure.goal
    ours = f"{statistics.median(figure.ours):.4g} {figure.unit}".rstrip()
    theirs = f"{statistics.median(figure.reference):.4g} {figure.against}" if figure.reference else ""
    interval = "" if found.low is None else f"{found.low:.3g}..{found.high:.3g}"
    related = f"{found.value:.3g}" if figure.reference else ""
    met = {None: "", True: "yes", False: "NO"}[found.met] + ("" if found.clear else "?")
    return figure.name, ours, theirs, related, interval, "" if goal is None else goal.text(figure.unit), met
