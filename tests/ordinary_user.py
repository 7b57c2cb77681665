"""Programs of an ordinary user, whoever runs the tests.

In: Python code. Out: what it prints; whether such a user may have namespaces here. Owns the process.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


def as_nobody(code: str) -> list[str]:
    """Lines that a program prints which has entered a namespace; of an ordinary user, if this one is root."""
    # Imported before: the way to the project may be closed to other users.
    leave = "import topologies.mininet.inventory, topologies.mininet.socket_buffer, nodes.nic.socket_buffer\n"
    leave += "import commands.clean, commands.running\n"
    leave += "import contextlib, os\n"
    leave += "with contextlib.suppress(OSError):\n"  # where there is no other user, this one is left
    leave += " if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    leave += "import ctypes; ctypes.CDLL(None).prctl(4, 1)\n"  # dumpable, as exec would make it
    argv = [sys.executable, "-c", leave + code]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT, timeout=30)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def skip_where_refused() -> None:
    """Where this machine lets no ordinary user build a network."""
    if why := _refused():
        pytest.skip(why)


@functools.cache
def _refused() -> str:
    (said,) = as_nobody("from topologies.mininet.user_namespace import obstacle; print(obstacle() or '')")
    return said
