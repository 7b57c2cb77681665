"""Whether nodes/ runs compiled in this environment or as pure Python, and why: figures depend on it.

In: what Python would import here. Out: a `State`. Owns nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path

from nodes.compiled import finder
from nodes.compiled.build import ROOT, modules, obstacle
from nodes.compiled.finder import Build, NoBuild


@dataclass(frozen=True, slots=True)
class State:
    """`reason`: of what is pure Python, with the remedy; of what is compiled, by what."""

    compiled: bool
    reason: str

    def __str__(self) -> str:
        return f"compiled by {self.reason}" if self.compiled else f"pure Python: {self.reason}"


def state() -> State:
    """Of this process, and of every one that it starts."""
    name = modules()[0].removesuffix(".py").replace("/", ".")
    spec = find_spec(name)
    if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
        build = Build(str(Path(str(spec.origin)).parents[name.count(".") + 1]))
        return State(True, f"{build.compiler}, {len(build.modules)} modules")
    return State(False, _reason())


def _reason() -> str:
    if os.environ.get(finder.PURE):
        return f"{finder.PURE} is set"
    try:
        changed = Build(finder.DIRECTORY).changed(str(ROOT))
    except NoBuild:
        return obstacle() or "it has not been compiled: run `make setup`"
    if changed:
        return f"{changed} has changed: run `make setup`"
    return "this Python began before it was compiled"
