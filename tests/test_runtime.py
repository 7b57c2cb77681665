"""Application code takes time, sleep and threads from a Runtime alone: read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIME = "nodes/client/runtime.py"
NOT_SIMULATED = ("workloads/experiment/", "workloads/sweep/")  # they drive Ray and runs
FORBIDDEN = {"time", "threading", "_thread", "concurrent", "asyncio", "multiprocessing", "sched", "queue"}
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for part in ("nodes/client", "workloads")
    for path in (ROOT / part).rglob("*.py")
    if not str(path.relative_to(ROOT)).startswith(NOT_SIMULATED)
)


def waits(source: str) -> list[str]:
    """The forbidden modules that `source` imports, wherever it does so."""
    return [name for name in _modules(ast.parse(source)) if name.split(".")[0] in FORBIDDEN]


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "import_module"):
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


@pytest.mark.parametrize("source", [path for path in SOURCES if path != RUNTIME])
def test_application_code_waits_through_a_runtime(source: str) -> None:
    assert waits((ROOT / source).read_text()) == []


def test_the_runtime_itself_is_found_and_so_are_its_ways_to_wait() -> None:
    assert RUNTIME in SOURCES
    assert set(waits((ROOT / RUNTIME).read_text())) == {"_thread", "threading", "time"}


@pytest.mark.parametrize(
    "source",
    [
        "import time", "import time as clock", "from time import sleep", "def f():\n import threading",
        "from concurrent.futures import ThreadPoolExecutor", "__import__('time').sleep(1)",
    ],
)  # fmt: skip
def test_no_way_of_importing_is_overlooked(source: str) -> None:
    assert len(waits(source)) == 1
