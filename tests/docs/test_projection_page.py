"""docs/projection.md shows what its command prints, and its formulas are those of the code."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from analysis.projection import COLLECTIVES, HEADER_BYTES, Wire, cost
from tests.docs import pages
from tests.docs.pages import ROOT, block

PAGE = "docs/projection.md"
SAMPLE = block("docs/projection.md", "$ python3 run.py project")
COSTS = {row[0]: row[1:] for row in pages.table(PAGE, "What is computed") if len(row) == 3}
MOVED = {row[0]: row[1] for row in pages.table(PAGE, "What is computed") if len(row) == 2}


def test_the_command_prints_what_the_page_shows() -> None:
    shown, _, output = SAMPLE.removeprefix("$ ").partition("\n")
    words = [sys.executable, *shlex.split(shown)[1:]]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert found.stdout == output


def value(formula: str, **known: float) -> float:
    """`8 + 4 h` or `2 (n - 1) / n x S` as a number."""
    python = formula.replace(" x ", " * ").replace("4 h", "4 * h").replace("2 h", "2 * h")
    python = python.replace("2 (", "2 * (").replace("a (", "a * (")
    return float(eval(python, {"__builtins__": {}}, known))


@pytest.mark.parametrize("row", COSTS)
def test_what_a_byte_costs_is_what_the_code_computes(row: str) -> None:
    for wire in (Wire(mtu=8244, both_ways="one way" not in row), Wire(1500, "one way" not in row)):
        header = HEADER_BYTES / wire.mss
        for formula, paths in zip(COSTS[row], (("devmem",), ("bounce", "kernel")), strict=True):
            for path in paths:
                found = cost(path, wire)
                counted = {"host": found.dram, "PCIe slot": found.slot, "PCIe root": found.root}
                (computed,) = (number for name, number in counted.items() if row.startswith(name))
                assert computed == pytest.approx(value(formula, h=header), rel=1e-12), (row, path)


def test_what_a_collective_moves_is_what_the_code_computes() -> None:
    named = {name.strip(): formula for names, formula in MOVED.items() for name in names.split(",")}
    assert named.keys() == COLLECTIVES.keys()
    for name, formula in named.items():
        for n, a in ((16, 8), (4096, 8), (6, 2)):
            assert COLLECTIVES[name](n, a, 1e9) == pytest.approx(value(formula, n=n, a=a, S=1e9)), name
