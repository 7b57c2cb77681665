"""The table of rules is complete, every test that it names exists, and docs/semantics.md is made from it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.semantics.document import DOCUMENT, text
from tests.semantics.rows import ROWS
from tests.semantics.since import SINCE

ROOT = Path(__file__).resolve().parents[2]
LAST = {"A": 33, "B": 8, "C": 12, "D": 9, "E": 16}


def test_every_rule_of_the_five_tables_is_there_in_order() -> None:
    assert list(ROWS) == [f"{letter}{number + 1}" for letter, last in LAST.items() for number in range(last)]


@pytest.mark.parametrize("name", ROWS)
def test_a_rule_is_proved_by_tests_that_exist_or_says_why_it_is_absent(name: str) -> None:
    row = ROWS[name]
    assert row.status != "unproven"
    assert bool(row.test) == (row.status == "holds")
    assert row.reason or row.status == "holds"
    known = f"{row.test}, {SINCE[name].test if name in SINCE else ''}"
    for proof in filter(None, (each.strip() for each in known.split(","))):
        file, _, function = proof.partition("::")
        functions = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text()))
                     if isinstance(node, ast.FunctionDef)}  # fmt: skip
        assert function in functions, f"{file} has no {function}"


def test_releases_belong_to_rules_and_those_that_hold_are_told_apart_by_a_test() -> None:
    assert SINCE.keys() <= ROWS.keys()
    for name, since in SINCE.items():
        assert bool(since.test) == (ROWS[name].status == "holds") or name.startswith("E"), name


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == text(), "run `python -m tests.semantics.document`"
