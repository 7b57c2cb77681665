"""The columns of the report's table of results, in groups.

In: the columns that a workload shows. Out: groups of columns, each with its header and its text. Owns their
order on a page: what tells rows apart comes first, what all rows share last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.fidelity import SIMULATED
from analysis.measure import Column as Name
from analysis.measure import Measure
from analysis.printed import PATTERN_COLUMNS, PRINTED, UNKNOWN
from analysis.summary import SummaryRow, run_verdict

_WHAT: tuple[Name, ...] = ("size", "path")
_ELEMENTS: tuple[Name, ...] = ("count", "type", "redop", "root")
_SECONDS: tuple[Name, ...] = (
    "time", *PATTERN_COLUMNS, "goodput", "both_ways", "goodput_interval", "algbw", "busbw", "busbw_interval",
)  # fmt: skip
_SHARED: tuple[Name, ...] = ("type", "redop", "root")
_LEFT = ("type", "redop", "path", "verdict")


@dataclass(frozen=True, slots=True)
class Column:
    """`header`: lines. `text`: of a row."""

    name: str
    header: tuple[str, ...]
    text: Callable[[SummaryRow], str]

    @property
    def is_text(self) -> bool:
        return self.name in _LEFT


@dataclass(frozen=True, slots=True)
class Group:
    """Columns under one word, or under none."""

    name: str
    columns: tuple[Column, ...]


def shared(summary: Sequence[SummaryRow]) -> dict[Name, str]:
    """What need be said once: columns of `_SHARED` that have one text in all rows."""
    texts = {name: {PRINTED[name].text(row) for row in summary} for name in _SHARED}
    return {name: found.pop() for name, found in texts.items() if len(found) == 1}


def column_groups(shown: Sequence[Name], measure: Measure, summary: Sequence[SummaryRow]) -> list[Group]:
    """Those of `shown`, ratios of the measure's rate beside them, as far as a row has one. Seconds are
    measured, or simulated where the run's verdict says so."""
    seconds = "simulated seconds" if run_verdict(summary).word == SIMULATED else "measured"
    groups = [
        Group("", _printed(shown, _WHAT)),
        Group(seconds, _printed(shown, _SECONDS)),
        Group(f"ratio of {measure.rate}", _known(summary, (
            Column("to_bounce", ("to", "bounce"), lambda row: _ratio(row.busbw_ratio_to_bounce)),
            Column("to_kernel", ("to", "kernel"), lambda row: _ratio(row.busbw_ratio_to_kernel)),
        ))),
        Group("counted", _printed(shown, ("retransmits", "wrong"))),
        Group("modelled", _printed(shown, ("dram",))),
        Group("", _printed(shown, ("verdict",))),
        Group("of the array", _printed(shown, _ELEMENTS)),
    ]  # fmt: skip
    return [group for group in groups if group.columns]


def _known(summary: Sequence[SummaryRow], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those that have a value in some row: a path that did not run is nothing to compare with."""
    return tuple(each for each in columns if any(each.text(row) != UNKNOWN for row in summary))


def _printed(shown: Sequence[Name], names: Sequence[Name]) -> tuple[Column, ...]:
    """As the terminal's table has them."""
    return tuple(_column(name) for name in names if name in shown)


def _column(name: Name) -> Column:
    printed = PRINTED[name]
    header = tuple(line.strip().replace("us)", "µs)") for line in printed.header.splitlines() if line.strip())
    return Column(name, header, lambda row: printed.text(row).strip())


def _ratio(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
