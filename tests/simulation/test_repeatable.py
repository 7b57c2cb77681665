"""A simulation is the same to the bit on every machine, by every version of Python, compiled or not.

The digests are those of this version of the stack. Whoever changes what a host sends, or when, changes them,
and writes the new ones here, which the failed test prints. Otherwise they must hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.simulated_run import simulated_run
from tests.docs.pages import ROOT
from tests.simulation.test_hosts import digest

STREAM = "570941d128b49c02152de62e621ab613277015327a4926a046208195f7c74509"
ALL_REDUCE = "b390b2f464f42dcc541c00ea72db1fceb50d93ce346bfc47210f36bdfcb70c4a"
ROWS = "12db10fb21047091764e776c80b09970854b0b5d66d4b891fdd8ffe2a0557b35"
ASKED = (
    "--topology", "leaf_spine", "--hosts", "4", "--link", "200Gbit,5us", "--machine", "a3-high", "--size",
    "1M", "--repeat", "1", "--impair", "loss=0.001,reorder=0.001", "--tcp-info", "1ms",
)  # fmt: skip
HASH_SEEDS = ("0", "4242")


def found(run_dir: Path) -> tuple[str, str]:
    """Of the frames of an all-reduce over devmem and bounce, with chance in it; of its ranks' rows."""
    simulated_run(run_dir, *ASKED)
    journal = json.loads((run_dir / "manifest.json").read_text())["journal"]
    return journal, hashlib.sha256((run_dir / "samples.csv").read_bytes()).hexdigest()


def test_two_programs_on_a_line_send_the_frames_that_they_sent_everywhere() -> None:
    assert digest(7) == STREAM


@pytest.mark.parametrize("hash_seed", HASH_SEEDS)
def test_a_run_has_the_frames_and_rows_that_it_has_everywhere(tmp_path: Path, hash_seed: str) -> None:
    code = "import sys, pathlib; from tests.simulation.test_repeatable import found; "
    code += "print(*found(pathlib.Path(sys.argv[1])))"
    argv = [sys.executable, "-c", code, str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.stdout.split() == [ALL_REDUCE, ROWS]
