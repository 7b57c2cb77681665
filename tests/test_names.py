"""Names of tests state a fact, and fit into a line: at most 75 characters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONGEST = 75
FILES = sorted(TESTS.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_name_of_a_test_is_longer_than_75_characters(path: Path) -> None:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    names = [node.name for node in functions if node.name.startswith("test_")]
    assert [name for name in names if len(name) > LONGEST] == []
