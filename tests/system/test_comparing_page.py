"""docs/comparing.md word for word: two runs of one command line, and what differs between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pages import block
from tests.system.reader import project, typed

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_two_runs_of_one_machine_are_compared(tmp_path: Path) -> None:
    place = project(tmp_path)
    before, after, compare = block("docs/comparing.md", "python3 run.py").splitlines()
    assert "5 repetitions" in typed(before, place)
    typed(after, place)
    lines = typed(compare, place).splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert [row[1] for row in rows] == ["path", "devmem", "devmem"]
    assert {len(row) for row in rows} == {11}
    assert not any("FORCED" in line for line in lines)
    found = json.loads(typed(f"{compare} --json", place))
    assert [row["a_repetitions"] for row in found["rows"]] == [5, 5]
