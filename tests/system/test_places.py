"""Where a user may stand: directories with a space, a PATH without sbin, closed standard files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.standing import PROJECT

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def test_a_run_is_up_in_an_odd_place(tmp_path: Path) -> None:
    checkout = tmp_path / "with space"
    for name in ("commands", "topologies", "nodes", "workloads", "analysis"):
        shutil.copytree(PROJECT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("run.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, checkout)
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "TMPDIR": str(checkout)}
    run_py = [sys.executable, str(checkout / "run.py")]
    closed = ["sh", "-c", 'exec "$@" <&- 2>&-', "sh"]
    with subprocess.Popen(
        [*closed, *run_py, "up", "--run-id", "it"], stdout=subprocess.PIPE, text=True, env=environment
    ) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("run it is up")
        inside = [*run_py, "exec", "h1", "--", "pwd"]
        found = subprocess.run(inside, capture_output=True, text=True, cwd=checkout, timeout=60, check=False)
        assert (found.returncode, found.stdout, found.stderr) == (0, f"{checkout}\n", "")
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 128 + signal.SIGINT
    assert (checkout / "results/it").is_dir()
