"""The rounds of a bench: what is to be compared is measured in turn, and again if the machine was disturbed.

In: a function that measures one round. Out: figures, and every round's values. Owns both; says each round on
standard error.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console

from nodes.compiled.state import state
from tests.bench.figure import Figure, Goal

STOLEN_MAX = 0.02
TRIES = 3  # of a round that was disturbed
Round = dict[str, float]


class Bench:
    """`seconds`: of one measurement. `part`: the one that is being measured."""

    def __init__(self, rounds: int, seconds: float) -> None:
        self.rounds = rounds
        self.seconds = seconds
        self.part = ""
        self.figures: list[Figure] = []
        self.raw: list[dict[str, float | str]] = []
        self.console = Console(stderr=True)

    def measure(self, name: str, one_round: Callable[[], Round]) -> list[Round]:
        """`rounds` undisturbed rounds, each repeated up to TRIES times."""
        kept = []
        for number in range(self.rounds):
            for attempt in range(TRIES):
                before = _cpu()
                result = one_round()
                stolen = _stolen_share(before, _cpu())
                self.raw.append({"name": name, "round": number, "try": attempt, "stolen": stolen, **result})
                shown = ", ".join(f"{key} {value:.4g}" for key, value in result.items())
                self.console.print(f"{name} {number + 1}/{self.rounds}: {shown}; stolen {stolen:.1%}")
                if stolen <= STOLEN_MAX:
                    break
            kept.append(result)
        return kept

    def against(
        self,
        name: str,
        rounds: Sequence[Round],
        ours: str,
        reference: str,
        unit: str,
        goal: Goal | None = None,
    ) -> None:
        """A figure of two keys of each round; the second says what the reference is called."""
        against = reference.rpartition("_")[0].replace("_", " ") or reference
        self.add(name, [r[ours] for r in rounds], unit, goal, [r[reference] for r in rounds], against)

    def add(
        self,
        name: str,
        ours: Sequence[float],
        unit: str,
        goal: Goal | None = None,
        reference: Sequence[float] = (),
        against: str = "",
    ) -> None:
        """A figure. Without a goal, of rates and ratios more is better, of all else less."""
        better: Literal["higher", "lower", ""] = "higher" if unit in ("Gb/s", "Mb/s") else "lower"
        if goal is not None:
            better = "" if None not in (goal.low, goal.high) else "lower" if goal.low is None else "higher"
        values = tuple(ours), tuple(reference)
        self.figures.append(Figure(name, self.part, unit, *values, against, goal, better))


def machine() -> dict[str, str]:
    """What figures depend on, in words."""
    model = next((line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nodes": str(state()),
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def _cpu() -> tuple[float, float]:
    """(all, stolen) CPU seconds of the machine so far."""
    times = psutil.cpu_times()
    return sum(times[:8]), times.steal


def _stolen_share(before: tuple[float, float], after: tuple[float, float]) -> float:
    return (after[1] - before[1]) / max(after[0] - before[0], 1e-9)
