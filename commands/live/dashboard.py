"""The live view on a terminal: one table, drawn anew at each reading.

In: RunRates. Out: a table of rich's on stdout. Owns the lines of the terminal that it draws on.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from commands.live.rates import HostRates, RunRates
from commands.live.table import COLUMNS, cells, head

_STYLES = {"up": "", "silent": "yellow", "down": "red"}


class Dashboard:
    """A context manager. The last table stays when it ends."""

    def __init__(self, run_id: str, console: Console | None = None) -> None:
        self._run_id = run_id
        # rich would draw at times of its own, too, in another thread
        self._live = Live(
            Text(f"run {run_id}: the first reading"), console=console, auto_refresh=False,
            vertical_overflow="ellipsis",
        )  # fmt: skip

    def __enter__(self) -> Dashboard:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, rates: RunRates) -> None:
        self._live.update(drawn(self._run_id, rates, self._live.console.width), refresh=True)


def drawn(run_id: str, rates: RunRates, width: int) -> Table:
    """The table in `width` characters. A column that has no room is left out: no figure is cut."""
    rows = [cells(host) for host in rates.hosts]
    heads = [("", "host"), *((upper, lower) for upper, lower, *_ in COLUMNS)]
    needed = [
        max(map(len, [*names, *column])) for names, column in zip(heads, zip(*rows, strict=True), strict=True)
    ]
    room = [sum(needed[: n + 1]) + n <= width for n in range(len(needed))]
    shown = max(1, sum(room))
    left_out = f"{len(heads) - shown} more columns in a wider terminal" if shown < len(heads) else None
    table = Table(
        title=Text(head(run_id, rates)),
        title_justify="left",
        caption=left_out,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    for number, (upper, lower) in enumerate(heads[:shown]):
        table.add_column(f"{upper}\n{lower}", justify="right" if number else "left", no_wrap=True)
    for host, row in zip(rates.hosts, rows, strict=True):
        table.add_row(*map(Text, row[:shown]), style=_style(host))
    return table


def _style(host: HostRates) -> str:
    """Red and yellow for a host that does not answer, bold where packets are lost."""
    lost = host.retransmits_per_s or host.linux_retransmits_per_s or host.drops_per_s
    return _STYLES[host.state] or ("bold" if lost else "")
