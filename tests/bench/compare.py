"""`make bench-compare OLD=FILE NEW=FILE`: what became better or worse from one bench to another.

In: two files of `make bench`. Out: a table; status 1 if a figure became worse by more than 5 %, and not by
chance. A figure with a reference is compared by its ratio to that, of each round: two machines, or one at two
times, differ more than what is looked for. Chance is asked as `run.py compare` asks it: Mann and Whitney's
test of the rounds, and the bootstrap's interval of the ratio of medians.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from analysis.comparison import ALIKE, ALPHA, FASTER, SLOWER, TOO_FEW, outcome
from analysis.rank_test import difference, least_p
from analysis.statistics import ratio
from tests.bench.figure import Figure, Result, ResultError, read, rounds_of

LIMIT = 0.05
BETTER, WORSE, OTHER = "better", "WORSE", "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """Of one figure: medians of both, new over old with its interval, the test's p, and in a word what that
    comes to."""

    name: str
    old: float
    new: float
    ratio: float
    low: float | None
    high: float | None
    p: float
    word: str

    @property
    def regressed(self) -> bool:
        return self.word == WORSE and abs(self.ratio - 1) > LIMIT

    def row(self) -> tuple[str, ...]:
        interval = "" if self.low is None else f"{self.low:.3g}..{self.high:.3g}"
        values = f"{self.old:.4g}", f"{self.new:.4g}", f"{self.ratio:.3g}"
        return (self.name, *values, interval, f"{self.p:.3f}", self.word)


def change(old: Figure, new: Figure) -> Change:
    """Both of the same name."""
    before, after = old.per_round(), new.per_round()
    medians, tested = (statistics.median(before), statistics.median(after)), difference(after, before)
    if not all((*before, *after)):  # of a 0 there is no ratio: the order of the values alone tells
        larger = FASTER if tested.delta > 0 else SLOWER
        word = _word(larger if tested.p <= ALPHA else ALIKE, new.better)
        return Change(new.name, *medians, 1.0 if word == ALIKE else math.inf, None, None, tested.p, word)
    come = ratio(rounds_of(after), rounds_of(before), one_run=False)
    said = outcome(come.low, come.high, tested.p, least_p(len(before), len(after)))
    word = _word(said, new.better)
    return Change(new.name, *medians, come.value, come.low, come.high, tested.p, word)


def _word(said: str, better: str) -> str:
    """FASTER says that the value became larger, and no more."""
    if said in (ALIKE, TOO_FEW):
        return said
    if not better:
        return OTHER
    return BETTER if (said == FASTER) == (better == "higher") else WORSE


def compare(old: Result, new: Result) -> tuple[list[Change], list[str]]:
    """Of the figures that both have, in the new one's order; and what must be known beside them."""
    olds = {figure.name: figure for figure in old.figures}
    both = [change(olds.pop(each.name), each) for each in new.figures if each.name in olds]
    only_new = [each.name for each in new.figures if each.name not in {c.name for c in both}]
    notes = [
        f"{name} differs: {old.machine.get(name)} / {new.machine.get(name)}"
        for name in sorted({*old.machine, *new.machine})
        if name != "load" and old.machine.get(name) != new.machine.get(name)
    ]
    notes += [f"of the old one alone: {name}" for name in olds]
    notes += [f"of the new one alone: {name}" for name in only_new]
    return both, notes


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    options = parser.parse_args(argv)
    try:
        old, new = read(options.old), read(options.new)
    except ResultError as reason:
        print(f"bench-compare: {reason}", file=sys.stderr)
        return 2
    changes, notes = compare(old, new)
    table = Table("figure (ratio to the same run's reference, if it has one)", "old", "new", "new / old",
                  "95 % interval", "p", "")  # fmt: skip
    for each in changes:
        table.add_row(*each.row())
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for note in notes:
        print(f"# {note}")
    if not changes:
        print("bench-compare: the two have no figure in common; compare benches of the same parts",
              file=sys.stderr)  # fmt: skip
        return 2
    worse = [each.name for each in changes if each.regressed]
    print(f"# Worse by more than {LIMIT:.0%}: {', '.join(worse) or 'none'}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
