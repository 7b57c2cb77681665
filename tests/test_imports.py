"""Which part may import which, no cycles, nothing relative, empty __init__.py: read from the sources."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("run", "commands", "workloads", "topologies", "analysis", "nodes")
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for part in PARTS
    for path in [*(ROOT / part).rglob("*.py"), *ROOT.glob(f"{part}.py")]
}
_NODES = (
    "uapi", "kernel_version", "host_config", "host_routes", "option", "quantity", "machine", "wire", "netmem",
    "skb", "nic", "inet", "tcp", "sock", "control", "timer_heap", "standard_error",
)  # fmt: skip


def _nodes(*names: str) -> set[str]:
    return {f"nodes.{name}" for name in names}


_COMMANDS = {"topologies", "workloads", "analysis"} | _nodes(
    "client", "machine", "host_config", "option", "quantity", "kernel_version", "standard_error", "compiled",
    "relay",  # what one is told
    "simulation", "wire",
    "nic",  # which models there are and what a bad wire may be: refused before anything starts
)  # fmt: skip
MAY_IMPORT: dict[str, set[str]] = {
    "run": {"commands"},
    "commands": _COMMANDS,
    "workloads": _nodes(
        "client", "simulation", "machine", "uapi", "host_config", "option", "quantity", "kernel_version",
        "compiled",
    ),
    "topologies": set(),
    "analysis": set(),
    "nodes.endpoint": _nodes("host", "syscall", *_NODES),
    "nodes.simulation": _nodes("host", "syscall", "client", *_NODES),
    "nodes.relay": _nodes("nic", "wire", "standard_error"),
    "nodes.host": _nodes(*_NODES),
    "nodes.syscall": _nodes("host", "sock", "control", "nic", "wire", "machine", "uapi", "timer_heap"),
    "nodes.client": _nodes("uapi", "machine"),
    "nodes.supervisor": _nodes("client", "uapi", "machine"),
    "nodes.control": _nodes("inet", "nic", "netmem", "uapi", "machine", "wire", "kernel_version"),
    "nodes.sock": _nodes(
        "tcp", "inet", "skb", "netmem", "wire", "machine", "uapi", "nic", "kernel_version",
        "timer_heap",
    ),
    "nodes.inet": _nodes("nic", "skb", "wire", "machine", "timer_heap"),
    "nodes.nic": _nodes("skb", "netmem", "wire", "machine", "kernel_version", "uapi"),
    "nodes.tcp": _nodes("wire"),
    "nodes.skb": _nodes("netmem", "uapi"),
    "nodes.netmem": _nodes("machine", "uapi"),
    "nodes.uapi": _nodes("machine"),  # the ledger's records ride in its Stats
    "nodes.host_config": _nodes(
        "host_routes", "kernel_version", "option", "quantity", "nic", "wire", "machine", "uapi"
    ),
    "nodes.host_routes": _nodes("option"),
    **{f"nodes.{part}": set() for part in ("wire", "machine", "kernel_version", "timer_heap")},
    **{f"nodes.{part}": set() for part in ("option", "quantity", "standard_error", "compiled")},
}


def part_of(module: str) -> str:
    """The row of MAY_IMPORT that a module belongs to."""
    return ".".join(module.split(".")[: 2 if module.startswith("nodes.") else 1])


@functools.cache
def imports(module: str, typing_too: bool) -> frozenset[str]:
    """Our modules that `module` imports, wherever in the file it does so."""
    return frozenset(_imports(ast.parse(SOURCES[module].read_text()), typing_too)) & SOURCES.keys()


def _imports(node: ast.AST, typing_too: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: relative import"
        yield from (str(node.module), *(f"{node.module}.{name.name}" for name in node.names))
    elif typing_too or not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, typing_too)


@pytest.mark.parametrize("module", [m for m in sorted(SOURCES) if m.split(".")[-1] != "__init__"])
def test_a_module_imports_only_what_its_part_may(module: str) -> None:
    own = part_of(module)
    assert {part_of(each) for each in imports(module, typing_too=True)} - {own} <= MAY_IMPORT[own]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graphlib.TopologicalSorter({m: imports(m, typing_too=True) for m in SOURCES}).prepare()


def test_every_init_file_is_empty() -> None:
    assert [str(path) for path in SOURCES.values() if path.name == "__init__.py" and path.read_text()] == []
