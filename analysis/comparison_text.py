"""A comparison of two runs as a text table, and as Markdown for a pull request.

In: compared rows, what differs between the runs. Out: text; pure. Owns the columns and the sentences. A cell
of the table is one word, so that programs can read it by its spaces.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich.console import Console
from rich.table import Table

from analysis.comparison import ALPHA, SLOWER, TOO_FEW, ComparedRow
from analysis.fidelity import FAITHFUL, SIMULATED
from analysis.likeness import Differs
from analysis.measure import rounded
from analysis.printed import UNKNOWN

_PRINT_WIDTH = 400
_SHOWN_MAX = 8  # of the harmless differences and of rows that one side has alone


@dataclass(frozen=True, slots=True)
class Head:
    """A column of the table: what its values mean, and its text for a row. `right`: where that stands."""

    meaning: str
    text: Callable[[ComparedRow], str]
    right: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """A run, or a sweep, as a title: its directory, and the commit of its sources."""

    directory: str
    sources: str


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that is said. `differences` of a sweep are those of any two cells. `threshold`: from which
    loss of speed on a row is a regression, 0.05 for 5 %; None: it was not asked."""

    a: Side
    b: Side
    rows: Sequence[ComparedRow]
    alone: Sequence[str]
    differences: Sequence[Differs]
    threshold: float | None = None

    @property
    def regressions(self) -> tuple[ComparedRow, ...]:
        return tuple(row for row in self.rows if row.is_regression(self.threshold or 0.0))

    @property
    def forced(self) -> tuple[Differs, ...]:
        return tuple(each for each in self.differences if each.forbids)


def text(told: Told) -> str:
    """Each line ended by a newline; lines that are no rows begin with #."""
    lines = [f"# {name}: {side.directory}, {side.sources}" for name, side in (("A", told.a), ("B", told.b))]
    lines += [f"# {said}" for said in _forced(told)]
    lines += _body(told.rows)
    lines += [f"# {said}" for said in (*_legend(told.rows), *_findings(told), verdict(told))]
    return "\n".join(lines) + "\n"


def markdown(told: Told) -> str:
    """The verdict first, then the table, then what limits it, folded away."""
    heads = _heads(told.rows)
    sides = [f"{name}: `{side.directory}`, {side.sources}" for name, side in (("A", told.a), ("B", told.b))]
    lines = [f"**{verdict(told)}**", "", *(f"> {said}" for said in _forced(told)), ""]
    lines.append("| " + " | ".join(heads) + " |")
    lines.append("|" + "|".join("--:" if HEADS[head].right else "---" for head in heads) + "|")
    for row in told.rows:
        cells = [cell.replace("|", "\\|") for cell in _cells(row, heads)]
        strong = row in told.regressions
        lines.append("| " + " | ".join(f"**{cell}**" if strong else cell for cell in cells) + " |")
    lines += ["", "<details><summary>How to read it, and what limits it</summary>", ""]
    lines += [f"- {said}" for said in (*sides, *_legend(told.rows), *_findings(told))]
    return "\n".join([*lines, "", "</details>"]) + "\n"


def verdict(told: Told) -> str:
    """What it comes to, in a sentence."""
    slower = [row for row in told.rows if row.outcome == SLOWER]
    faster = sum(row.outcome == "faster" for row in told.rows)
    rows = f"{len(told.rows)} row{'s' * (len(told.rows) != 1)}"
    said = f"Of {rows}, B is faster in {faster} and slower in {len(slower)}"
    if told.threshold is None:
        return f"{said}."
    count = len(told.regressions)
    found = f"{count} of them" if count else "none of them"
    return f"{said}, {found} by more than {100 * told.threshold:g} %."


def where(row: ComparedRow) -> str:
    """The row as words."""
    cell = f"{row.cell}, " if row.cell else ""
    return f"{cell}{row.size_bytes} B on {row.path}{' in place' if row.in_place else ''}"


def _body(rows: Sequence[ComparedRow]) -> list[str]:
    heads = _heads(rows)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, justify="right" if HEADS[head].right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row, heads))
    page = StringIO()
    Console(file=page, width=_PRINT_WIDTH, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def _heads(rows: Sequence[ComparedRow]) -> tuple[str, ...]:
    """Without the cell where there is one run, and without the place where all rows have the same."""
    left_out = set() if any(row.cell for row in rows) else {"cell"}
    if len({row.in_place for row in rows}) == 1:
        left_out.add("place")
    return tuple(head for head in HEADS if head not in left_out)


def _cells(row: ComparedRow, heads: Sequence[str]) -> list[str]:
    return [HEADS[head].text(row) for head in heads]


def _rate(row: ComparedRow, value: float) -> str:
    return rounded(value, 1 if row.unit == "us" else 3)


def _interval(row: ComparedRow) -> str:
    low, high = row.speed_ratio_ci_low, row.speed_ratio_ci_high
    return UNKNOWN if low is None or high is None else f"{low:.3f}..{high:.3f}"


def _place(row: ComparedRow) -> str:
    return "in-place" if row.in_place else "out-of-place"


# The table's columns in order, which docs/reference/columns.md is made of.
HEADS = {
    "cell": Head(
        "of a sweep: the options that its cells do not share", lambda row: row.cell.replace(" ", ",")
    ),
    "size": Head("as in the table of a run", lambda row: str(row.size_bytes), right=True),
    "path": Head("likewise", lambda row: row.path),
    "place": Head("`in-place` or `out-of-place`, where both occur", _place),
    "unit": Head(
        "of A and B: GB/s of bus bandwidth, Gbit/s of goodput, or us where the workload has no bandwidth",
        lambda row: row.unit,
    ),
    "A": Head("median of the first run", lambda row: _rate(row, row.a), right=True),
    "B": Head("median of the second run", lambda row: _rate(row, row.b), right=True),
    "B/A": Head(
        "how many times as fast B is; above 1 it is the faster one",
        lambda row: f"{row.speed_ratio:.3f}",
        right=True,
    ),
    "95%": Head("the bootstrap interval of that ratio", _interval),
    "p": Head(
        "Mann and Whitney's U test, two-sided: how likely values that far apart are by chance",
        lambda row: f"{row.p:.3f}",
        right=True,
    ),
    "effect": Head(
        "Cliff's delta of the speed: +1 where every repetition of B was faster than every one of A. In a "
        "word: negligible below 0.147, small below 0.33, medium below 0.474, else large",
        lambda row: f"{row.effect}({row.delta:+.2f})",
    ),
    "outcome": Head(
        f"`faster` or `slower`: p is at most {ALPHA:g}, and the interval does not hold 1. `alike`: neither "
        "is shown. `too-few`: no p could be as small",
        lambda row: row.outcome,
    ),
}


def _forced(told: Told) -> Iterator[str]:
    if told.forced:
        listed = "; ".join(map(str, told.forced[:_SHOWN_MAX]))
        more = f" and {len(told.forced) - _SHOWN_MAX} more" if len(told.forced) > _SHOWN_MAX else ""
        yield f"FORCED: A and B are unlike in {listed}{more}: what differs below need not be the sources"


def _legend(rows: Sequence[ComparedRow]) -> Iterator[str]:
    yield "B/A: how many times as fast B is, with the 95 % bootstrap interval of the ratio"
    yield (
        "p: Mann and Whitney's U test of the repetitions' medians, exact; effect: Cliff's delta of the "
        "speed, +1 where every repetition of B was faster"
    )
    yield f"faster, slower: p is at most {ALPHA:g} and the interval does not hold 1; alike: neither is shown"
    if few := [row for row in rows if row.outcome == TOO_FEW]:
        yield (
            f"too-few: with {few[0].a_repetitions} and {few[0].b_repetitions} repetitions p cannot fall "
            f"below {few[0].p_least:.3f}; repeat both with --repeat 5"
        )
    expected = ALPHA * sum(row.outcome != TOO_FEW for row in rows)
    if expected >= 0.5:
        yield f"of so many rows about {round(expected)} has a p of {ALPHA:g} or less by chance alone"


def _findings(told: Told) -> Iterator[str]:
    for name, wrong in (("A", "a_wrong_elements"), ("B", "b_wrong_elements")):
        rows = [row for row in told.rows if getattr(row, wrong)]
        if rows:
            yield f"{name} HAS WRONG VALUES, first at {where(rows[0])}: no number of it is a result"
    for row in [row for row in told.rows if row.dram_changed][:_SHOWN_MAX]:
        yield (
            f"host DRAM bytes a payload byte (modelled) of {where(row)}: "
            f"{row.a_host_dram_bytes_per_payload_byte:.4f} and {row.b_host_dram_bytes_per_payload_byte:.4f}"
        )
    if any({row.a_verdict, row.b_verdict} == {SIMULATED} for row in told.rows):
        yield "A and B are in simulated seconds: what differs is the simulated machines' work, not this one's"
    sound = ({FAITHFUL}, {SIMULATED})
    unfaithful = [row for row in told.rows if {row.a_verdict, row.b_verdict} not in sound]
    if unfaithful:
        first = unfaithful[0]
        yield (
            f"{len(unfaithful)} of {len(told.rows)} rows are not faithful, as {where(first)} (A "
            f"{first.a_verdict}, B {first.b_verdict}): they compare this machine's work, not a network's"
        )
    for name in ("A", "B"):
        found = [getattr(row, f"{name.lower()}_stability") for row in told.rows]
        if unsteady := [each for each in found if each]:
            yield f"{name} is not steady in {len(unsteady)} rows, the first of them: {unsteady[0]}"
    harmless = [str(each) for each in told.differences if not each.forbids]
    yield from _some("differs, too", harmless)
    yield from _some("left out", told.alone)


def _some(what: str, words: Sequence[str]) -> Iterator[str]:
    if words:
        more = f" and {len(words) - _SHOWN_MAX} more" if len(words) > _SHOWN_MAX else ""
        yield f"{what}: {'; '.join(words[:_SHOWN_MAX])}{more}"
