"""A sweep of synthetic runs: a ledger and the runs' directories.

In: the values of its options. Out: files, as run.py sweep leaves them. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import msgspec

from tests.analysis.synthetic import MIB, Made
from workloads.sweep.ledger import Entry

COMMON = ("--topology=star", "--workload=all_reduce")


def made_sweep(directory: Path, grid: Mapping[str, Sequence[str]], failed: int = 0, **more: object) -> Path:
    """A cell for each combination of `grid`; devmem is the faster the later the cell. `failed`: as many cells
    of the last ones have no run."""
    (directory / "cells").mkdir(parents=True)
    chosen = list(product(*grid.values()))
    lines = []
    for number, texts in enumerate(chosen):
        words = tuple(f"--{name}={text}" for name, text in zip(grid, texts, strict=True))
        done = number < len(chosen) - failed
        cell = Entry(
            cell=f"cell{number}", options=(*COMMON, *words), status="complete" if done else "failed",
            run=f"cell{number}-1", seconds=1.0, machine="one", finished_at="2026-01-02T03:04:05Z",
            reason="" if done else "h1 died",
        )  # fmt: skip
        lines.append(msgspec.json.encode(cell))
        if done:
            speeds = {"devmem": 0.8 + 0.1 * number, "bounce": 1.0, "kernel": 2.0}
            Made(**{"sizes": (MIB,), "gigabyte_per_s": speeds} | more).write(directory / "cells" / cell.run)  # type: ignore[arg-type]
    (directory / "ledger.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return directory
