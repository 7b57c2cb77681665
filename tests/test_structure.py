"""Sizes of files, classes and functions: what grows beyond them is divided, or says beside it why not."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("commands", "topologies", "nodes", "workloads", "analysis", "tests")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
FILE_LINES, FUNCTION_LINES, CLASS_METHODS = 400, 45, 25
# How the comments begin that give the reason: within a function, and above a class.
LONG_FUNCTION, LARGE_CLASS = "# One long", "# More than 25 methods:"


def nodes_of(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


@functools.cache
def methods_by_class() -> dict[str, tuple[list[str], set[str]]]:
    """Names of the bases and of the methods of every class of ours."""
    found = {}
    for path in SOURCES:
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]
                found[node.name] = bases, {
                    each.name for each in node.body if isinstance(each, ast.FunctionDef)
                }
    return found


def methods(name: str) -> set[str]:
    """Those of the class and of its parents of ours."""
    if name not in methods_by_class():
        return set()
    bases, own = methods_by_class()[name]
    return own.union(*(methods(base) for base in bases if base != name))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_its_functions_and_its_classes_have_a_size_to_read(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= FILE_LINES
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            body = lines[node.lineno - 1 : node.end_lineno]
            reason = any(line.strip().startswith(LONG_FUNCTION) for line in body)
            assert len(body) <= FUNCTION_LINES or reason, f"{node.name} has {len(body)} lines"
        elif isinstance(node, ast.ClassDef):
            above = "\n".join(lines[max(0, node.lineno - 4) : node.lineno - 1])
            count = len(methods(node.name))
            assert count <= CLASS_METHODS or LARGE_CLASS in above, f"{node.name} has {count} methods"
