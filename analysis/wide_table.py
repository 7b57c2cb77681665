"""The text table with columns that were asked for, or with all of them: as wide as they are.

In: names of columns, summary rows. Out: the table's lines. Owns the columns that a table shows only if they
are asked for. A line is one row of summary.csv, so a place has a line of its own.
"""

import functools
from collections.abc import Callable, Sequence

from analysis.measure import Measure
from analysis.printed import PRINTED, UNKNOWN, Printed, count, microseconds
from analysis.summary import SummaryRow
from analysis.table import Body, empty_table, printed_lines, shown_columns

ALL = "all"


class ColumnError(ValueError):
    """A column that there is not; str() is one sentence."""


def _s_per_GB(word: str, meaning: str, value: Callable[[SummaryRow], float | None]) -> Printed:
    def text(row: SummaryRow) -> str:
        found = value(row)
        return UNKNOWN if found is None else f"{found:.3f}"

    return Printed(word, meaning, text, "s/GB")


def _pool(row: SummaryRow) -> str:
    return UNKNOWN if row.rx_pool_peak_share is None else f"{100 * row.rx_pool_peak_share:.1f}"


# What is shown only if it is asked for.
MORE: dict[str, Printed] = {
    "place": Printed(
        "place", "`out` of place or `in` place", lambda row: "in" if row.in_place else "out", side="left"
    ),
    "time_p50": microseconds(
        "time_p50", "of every rank's time in every iteration: the median", lambda row: row.rank_time_p50_us
    ),
    "time_p95": microseconds("time_p95", "95th percentile", lambda row: row.rank_time_p95_us),
    "time_p99": microseconds("time_p99", "99th percentile", lambda row: row.rank_time_p99_us),
    "spread": microseconds(
        "spread",
        "stragglers: the last rank's time less the first rank's, median over the iterations",
        lambda row: row.straggler_spread_p50_us,
    ),
    "spread_p95": microseconds("spread_p95", "95th percentile", lambda row: row.straggler_spread_p95_us),
    "overlapped": microseconds(
        "overlapped", "computing while communication was under way", lambda row: row.overlapped_us
    ),
    "pool": Printed("pool", "the highest occupancy of a page pool", _pool, "%"),
    "token_p50": microseconds(
        "token_p50", "how long ranks held tokens: the median", lambda row: row.token_return_p50_us
    ),
    "token_p95": microseconds("token_p95", "95th percentile", lambda row: row.token_return_p95_us),
    "token_p99": microseconds("token_p99", "99th percentile", lambda row: row.token_return_p99_us),
    "token_max": microseconds("token_max", "the longest", lambda row: row.token_return_max_us),
    "alloc_fail": Printed(
        "alloc_fail", "`rx_alloc_fail` of summary.csv", lambda row: count(row.rx_alloc_fail)
    ),
    "drops": Printed("drops", "`rx_hw_drops` of summary.csv", lambda row: count(row.rx_hw_drops)),
    "overruns": Printed(
        "overruns", "`rx_hw_drop_overruns` of summary.csv", lambda row: count(row.rx_hw_drop_overruns)
    ),
    "link_drops": Printed(
        "link_drops", "packets that links' queues dropped", lambda row: count(row.link_drops)
    ),
    "app_cpu": _s_per_GB(
        "app_cpu", "the application's CPU time", lambda row: row.application_cpu_s_per_GB
    ),
    "net_cpu": _s_per_GB("net_cpu", "the network stack's CPU time", lambda row: row.network_cpu_s_per_GB),
    "softirq": _s_per_GB(
        "softirq", "that of Linux's softirq, of the whole machine", lambda row: row.softirq_cpu_s_per_GB
    ),
}
KNOWN: dict[str, Printed] = dict((*PRINTED.items(), *MORE.items()))


def asked_columns(text: str) -> tuple[str, ...]:
    """Of a comma-separated list of columns, or `all`. Raises ColumnError."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if found == (ALL,):
        return found
    for name in found:
        if name not in KNOWN:
            raise ColumnError(f"there is no column {name!r}; choose {ALL}, or from {', '.join(KNOWN)}")
    return found


def body_of(asked: Sequence[str]) -> Body:
    """The lines of a table of these columns, of `all` those of which any row has a value."""
    return functools.partial(_body, asked)


def _body(asked: Sequence[str], summary: Sequence[SummaryRow], measure: Measure) -> list[str]:
    names = _every_column(summary, measure) if tuple(asked) == (ALL,) else asked
    table = empty_table()
    for name in names:
        table.add_column(KNOWN[name].header, justify=KNOWN[name].side, no_wrap=True)
    for row in summary:
        table.add_row(*(KNOWN[name].text(row) for name in names))
    return printed_lines(table)


def _every_column(summary: Sequence[SummaryRow], measure: Measure) -> list[str]:
    names: list[str] = list(shown_columns(summary, measure))
    more = [name for name in ("retransmits", *MORE) if name not in names]
    names += [name for name in more if any(KNOWN[name].text(row) != UNKNOWN for row in summary)]
    names.remove("place")
    if len({row.in_place for row in summary}) > 1:
        names.insert(names.index("path") + 1, "place")
    return names
