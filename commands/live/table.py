"""The live view as text: a head line, and a row a host.

In: RunRates. Out: words for columns, and the lines that a pipe gets. Pure; owns the columns.
"""

from __future__ import annotations

from commands.live.rates import HostRates, RunRates

UNKNOWN = "-"
# The head of each column in two lines, its width, and the field of HostRates that it shows.
COLUMNS = (
    ("goodput", "in", 7, "goodput_in_mbps"),
    ("goodput", "out", 7, "goodput_out_mbps"),
    ("link", "in", 7, "link_in_mbps"),
    ("link", "out", 7, "link_out_mbps"),
    ("retrans", "/s", 7, "retransmits_per_s"),
    ("Linux", "/s", 5, "linux_retransmits_per_s"),
    ("drops", "/s", 5, "drops_per_s"),
    ("pool", "%", 5, "pool_percent"),
    ("peak", "%", 5, "pool_peak_percent"),
    ("DRAM", "GB/s", 5, "dram_GB_per_s"),
    ("CPU", "%", 5, "cpu_percent"),
)


def head(run_id: str, rates: RunRates) -> str:
    """The line above the table: what is not a host's."""
    machine = f"{rates.cores} cores {rates.cpu_percent:.0f} % busy"
    stolen = f", {rates.stolen_percent:.0f} % stolen" if rates.stolen_percent >= 1 else ""
    between = f"; queues between switches drop {number(rates.other_drops_per_s)}/s" * bool(
        rates.other_drops_per_s
    )
    return f"run {run_id}, last {rates.interval_s:.1f} s, Mbit/s; machine: {machine}{stolen}{between}"


def cells(host: HostRates) -> list[str]:
    """The name of the host, then the columns."""
    name = host.name if host.state == "up" else f"{host.name} ({host.state})"
    return [name, *(number(getattr(host, field)) for *_, field in COLUMNS)]


def number(value: float | None) -> str:
    """Three digits or all before the point: 0, 0.123, 4.56, 78.9, 12345."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def text(run_id: str, rates: RunRates) -> str:
    """All of it, as lines."""
    rows = [cells(host) for host in rates.hosts]
    first = max([4, *(len(row[0]) for row in rows)])
    upper = ["host", *(each[0] for each in COLUMNS)]
    lower = ["", *(each[1] for each in COLUMNS)]
    widths = [first, *(each[2] for each in COLUMNS)]

    def line(row: list[str]) -> str:
        name, *others = row
        padded = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        return " ".join([f"{name:<{first}}", *padded])

    return "\n".join([head(run_id, rates), *map(line, (upper, lower, *rows))])
