"""An endpoint that starts imports what its frames need, and no library that takes long to be imported."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("numpy", "ctypes.util", "typer", "rich", "yaml", "networkx", "psutil")


def test_an_endpoint_starts_without_the_libraries_that_take_long() -> None:
    code = f"import sys, nodes.endpoint.__main__; print(*{{*{SLOW}}} & {{*sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []
