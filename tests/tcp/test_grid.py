"""Two connections over every wire of the grid: every byte exact, and no slower than the table says."""

from __future__ import annotations

import json

import pytest

from tests.tcp.grid import TABLE, Cell, cells, throughput

REGRESSION = 0.9


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in cells()])
def test_every_byte_arrives_and_as_fast_as_before(cell: Cell) -> None:
    expected = json.loads(TABLE.read_text())[cell.name]
    found = throughput(cell)
    assert found >= REGRESSION * expected, (
        f"{found:.3f} MB/s where {expected} were: if this is intended, python -m tests.tcp.grid --write"
    )
