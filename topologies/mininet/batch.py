"""Commands of iproute2 in a node of the network, many lines at a time.

In: a node, lines for `ip -batch` or another command. Out: what it printed. Owns nothing.
"""

from __future__ import annotations

import subprocess
from typing import Any

from topologies.mininet.node import HostProcess
from topologies.topology_error import TopologyError


def ip(node: Any, version: int, lines: list[str], force: bool = False) -> None:
    """Have `ip` read the lines in a node. `force`: a line that fails is passed over. Raises TopologyError."""
    if lines:
        options = ["-force"] if force else []
        run(node, ["ip", f"-{version}", *options, "-batch", "-"], lines, check=not force)


def run(node: Any, argv: list[str], lines: list[str], check: bool = True) -> bytes:
    """Run a command in a node, with lines to read; returns what it printed. Raises TopologyError with that
    if it failed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process: HostProcess = node.popen(argv, **pipes)
    said, _ = process.communicate("".join(f"{line}\n" for line in lines).encode())
    if check and process.returncode:
        raise TopologyError(f"{' '.join(argv[:2])} failed in {node.name}: {said.decode().strip()}")
    return said
