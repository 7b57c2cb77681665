"""The live view as lines and as rich's table."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from commands.live.dashboard import drawn
from commands.live.rates import HostRates, RunRates
from commands.live.table import COLUMNS, number, text
from tests.docs import pages

BUSY = HostRates("h1", "up", 12345.6, 0.0, 98.76, 1.0, 0.5, 0.0, 2.0, 12.5, 99.9, 1.25, 101.0)
RATES = RunRates(1.0, (BUSY, HostRates("h2", "down")), 0.0, 2, 50.0, 0.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0"), (0.01234, "0.012"), (1.234, "1.23"), (56.78, "56.8"), (12345.6, "12346")],
)
def test_a_figure_has_the_digits_that_tell_something(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_lines_have_a_head_two_lines_of_names_and_a_line_a_host() -> None:
    first, upper, lower, h1, h2 = text("r", RATES).splitlines()
    assert first == "run r, last 1.0 s, Mbit/s; machine: 2 cores 50 % busy"
    assert upper.split()[:3] == ["host", "goodput", "goodput"]
    assert lower.split() == [each[1] for each in COLUMNS]
    assert " ".join(h1.split()) == "h1 12346 0 98.8 1.00 0.500 0 2.00 12.5 99.9 1.25 101"
    assert re.split(r"\s{2,}", h2) == ["h2 (down)", *["-"] * len(COLUMNS)]
    assert max(map(len, (upper, lower, h1, h2))) <= 86
    assert len({len(line) for line in (upper, lower, h1, h2)} - {len(lower)}) <= 1, "columns are aligned"


def test_the_page_explains_every_column_in_their_order() -> None:
    explained = [
        name.strip() for cell, _ in pages.table("docs/watch.md", "Columns") for name in cell.split(",")
    ]
    assert explained == [f"{upper} {lower}" for upper, lower, *_ in COLUMNS]


def test_a_stolen_cpu_and_drops_between_switches_are_told_above_the_table() -> None:
    rates = RunRates(2.04, (BUSY,), 3.0, 2, 90.0, 7.0)
    first = text("r", rates).splitlines()[0]
    assert first.endswith("machine: 2 cores 90 % busy, 7 % stolen; queues between switches drop 3.00/s")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_narrow_terminal_has_fewer_columns_and_no_figure_cut(width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(drawn("r", RATES, width))
    said = captured.get()
    assert "…" not in said
    assert all(len(line) <= width for line in said.splitlines())
    (row,) = (line.split() for line in said.splitlines() if line.startswith("h1 "))
    everything = text("r", RATES).splitlines()[3].split()
    assert len(row) > 1
    assert row == everything[: len(row)]
    assert (len(row) == len(everything)) == (width >= 80)
    assert ("more" in said) == (width < 80)


def test_hosts_that_do_not_answer_and_those_that_lose_packets_stand_out() -> None:
    table = drawn("r", RATES, 80)
    assert [row.style for row in table.rows] == ["bold", "red"]
