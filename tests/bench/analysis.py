"""How long a user waits for help, and for a large run to be read.

In: nothing. Out: seconds. Owns a directory of a synthetic run for as long as it is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analysis.load import load
from tests.analysis.synthetic import MIB, Made
from tests.bench.network import PROJECT

ROWS = 1_000_000


def help_s() -> float:
    """Of `run.py --help`, in a process of its own."""
    begin = time.perf_counter()
    command = [sys.executable, str(PROJECT / "run.py"), "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


class LargeRun:
    """A run of ROWS samples, written once."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-analysis-")
        # 5 repetitions of 4 sizes on 2 paths by 4 ranks, and a warm-up iteration each.
        iterations = ROWS // (5 * 4 * 2 * 4) - 1
        sizes = tuple(MIB << step for step in range(4))
        made = Made(sizes=sizes, paths=("devmem", "bounce"), repetitions=5, iterations=iterations)
        self._run = made.write(Path(self._directory.name) / "run")

    def load_s(self) -> float:
        """To read and check it."""
        begin = time.perf_counter()
        run = load(self._run)
        took_s = time.perf_counter() - begin
        assert len(run.samples) == ROWS
        return took_s

    def close(self) -> None:
        self._directory.cleanup()
