"""A run that stays up, and the commands that reach it from other processes.

In: words of a command line. Out: what the command said; the fixture `up` for conftest.py. Owns the run.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def command(*words: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROJECT / "run.py"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """`run.py up`, ready; ended if it still runs."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as place:
        monkeypatch.setenv("TMPDIR", place)
        argv = [sys.executable, str(PROJECT / "run.py"), "up", "--results", str(tmp_path), "--run-id", "it"]
        argv += ["--queues", "9", "--trace"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("run it is up")
        for i in (1, 2):
            ours, linux = f"10.0.1.{i}/16 fd00::1:{i}/64", f"10.0.0.{i}/16 fd00::{i}/64"
            said, _, channel = " ".join(process.stdout.readline().split()).rpartition(" channel ")
            assert said == f"h{i} {ours} kernel {linux}"
            assert Path(channel).is_socket()
            assert Path(channel).parent.stat().st_mode & 0o777 == 0o700
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert not list(Path(place).iterdir()), "a directory is left"
