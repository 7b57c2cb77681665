"""Notebooks as they are run: a kernel, the project in its path, and `fresh` as one wants it.

In: a notebook's path. Out: its cells with their outputs. Owns the kernel while the notebook runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "analysis/notebooks"
PARAMETERS = "parameters"  # the tag of the cell that says `fresh`


class Kernel(AsyncKernelManager):
    """By sockets of the file system: nothing of it is on a network, loopback included."""

    transport = "ipc"


def read(path: Path) -> Any:
    return nbformat.read(path, 4)  # type: ignore[no-untyped-call]


def executed(path: Path, place: Path, root: Path = ROOT, fresh: bool = False, within_s: float = 120) -> Any:
    """The notebook with its outputs; `place`: of the kernel's sockets; `root`: the project that it imports.
    Raises CellExecutionError."""
    notebook = read(path)
    (cell,) = (each for each in notebook.cells if PARAMETERS in each.metadata.get("tags", ()))
    assert cell.source.startswith("fresh = False"), "the file itself begins with what is recorded"
    cell.source = f"fresh = {fresh}"
    client = NotebookClient(
        notebook,
        timeout=within_s,
        kernel_name="python3",
        kernel_manager_class=Kernel,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.create_kernel_manager().ip = str(place / "kernel")
    return client.execute(env=os.environ | {"PYTHONPATH": str(root), "MPLBACKEND": ""})


def shown(notebook: Any) -> str:
    """All that its cells have shown, as HTML where there is some, else as text."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = []
    for output in outputs:
        data = output.get("data", {})
        texts.append(output.get("text") or data.get("text/html") or data.get("text/plain") or "")
    return "\n".join(texts)
