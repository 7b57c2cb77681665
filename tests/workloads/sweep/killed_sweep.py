"""A sweep of 24 cells as a process that a test kills.

    python -m tests.workloads.sweep.killed_sweep DIRECTORY

In: the sweep's directory. Out: its ledger and its cells, each of which writes its options down. Owns nothing
when it is killed: a cell ends with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.workloads.sweep.test_sweep import CELLS
from workloads.sweep.ledger import Ledger
from workloads.sweep.local import LocalRunner
from workloads.sweep.sweep import Sweep

_CELL = 'mkdir "$0" && sleep 0.05 && echo "$@" > "$0/words"'  # sh plays run.py


def main(directory: Path) -> None:
    def command(run_dir: Path, words: Sequence[str]) -> Sequence[str]:
        return "/bin/sh", "-c", _CELL, str(run_dir), *words

    with Ledger(directory) as ledger:
        runner = LocalRunner(directory / "cells", 30.0, command)
        Sweep(CELLS, ledger, lambda: None).run(runner)
        runner.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
