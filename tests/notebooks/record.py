"""Records the runs that the notebooks show: analysis/notebooks/data.

    .venv/bin/python -m tests.notebooks.record [NAME ...]

In: the commands below, which are run one after the other. Out: of each run the files that analysis reads, in
analysis/notebooks/data/NAME. Owns nothing. What names the machine is left out, and so is what the notebooks
do not need.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
DATA = ROOT / "analysis/notebooks/data"
KEPT = ("samples.csv", "usage.csv", "link_usage.csv", "drawing.json", "tcp_info.csv", "ledger.csv")
OVER_TIME = ("loss", "memory_10MB")  # of others ledger.csv is left out: no notebook shows their hosts
_STREAM = "--topology pair --workload stream --path devmem,bounce"
_SIMULATED = ("--clock simulated --machine ddr5-half --topology leaf_spine --link 200Gbit,5us --mtu 8244 "
              "--size 4M --place out --path devmem,bounce --iters 1 --repeat 1")  # fmt: skip
COMMANDS = {
    "three_paths": "--topology pair --workload all_reduce --size 64K,1M --iters 1 --repeat 3",
    **{f"niov_{size}": f"{_STREAM} --duration 0.5 --repeat 3 --niov-size {size}"
       for size in ("4K", "16K", "32K", "64K")},
    "niov_64K_again": f"{_STREAM} --duration 0.5 --repeat 3 --niov-size 64K",
    **{f"memory_{rate}MB": f"{_STREAM} --size 256K --duration 1.5 --repeat 3 --link 50Mbit "
       f"--host-mem-bw {rate}MB/s" for rate in (10, 20, 40)},
    "loss": "--topology pair --workload stream --duration 4 --repeat 1 --link 20Mbit,10ms,loss=0.5% "
            "--tcp-info 100ms",
    **{f"scale_{hosts}": f"{_SIMULATED} --hosts {hosts}" for hosts in (2, 4, 8, 16)},
    "cover_bidir": f"{_STREAM} --bidir --kernel 6.12 --duration 2 --repeat 3 --link 100Mbit",
    "cover_mtu": f"{_STREAM} --mtu 8244 --duration 1 --repeat 3 --link 100Mbit",
}  # fmt: skip


def record(name: str) -> None:
    """Run it, and replace what is there of an earlier one."""
    with TemporaryDirectory() as place:
        words = [*shlex.split(COMMANDS[name]), "--run-id", name]
        subprocess.run([sys.executable, ROOT / "run.py", *words, "--results", place], check=True)
        keep(Path(place) / name, DATA / name, words)


def keep(run_dir: Path, kept: Path, words: Sequence[str]) -> None:
    """Copy the files of `run_dir` that analysis reads to `kept`."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    manifest["argv"] = ["run.py", *words]
    manifest["environment"]["hostname"] = "recorded"
    manifest["fidelity"] = None  # analysis comes to its own
    files = [name for name in KEPT if name != "ledger.csv" or kept.name in OVER_TIME]
    manifest["files"] = {name: digest for name, digest in manifest["files"].items() if name in files}
    for name in manifest["files"]:
        shutil.copy(run_dir / name, kept / name)
    (kept / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    for each in sys.argv[1:] or COMMANDS:
        record(each)
