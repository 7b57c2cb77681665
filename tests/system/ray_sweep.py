"""A sweep on a Ray cluster of three nodes, one of which is removed while it runs a cell.

    python -m tests.system.ray_sweep DIRECTORY LEDGER WORD...

In: a place for Ray's files; the ledger that the sweep will write, or "" where no node is to be removed; the
words of its command line. Out: what the sweep prints, its exit status. Owns the cluster, which ends with this
process's namespaces (topologies.mininet.enclosure).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NODE: dict[str, Any] = {
    "num_cpus": 1,
    "resources": {"emu_host": 1},
    "include_dashboard": False,
    "object_store_memory": 80 << 20,
}


def main(directory: str, ledger: str, *words: str) -> int:
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_TMPDIR=directory)
    (Path(directory) / "ray").mkdir()  # Ray notes the cluster's address there, and expects that it exists
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    removed, _ = cluster.add_node(**NODE), cluster.add_node(**NODE)
    sweep = subprocess.Popen([sys.executable, *words])
    if not ledger:
        return sweep.wait()
    path = Path(ledger)
    while sweep.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= 3):
        time.sleep(0.05)
    time.sleep(0.5)  # every node has its second cell
    cluster.remove_node(removed, allow_graceful=False)
    return sweep.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
