"""A reader's terminals: commands of README.md and docs/, typed as the pages show them.

In: a directory of the test's own, and commands. Out: what the commands print. Owns the processes, which end
with their `with`. The directory is made to look like the project's, which stays free of results and programs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.pages import ROOT

_LINKED = (".venv", "analysis", "commands", "docs", "nodes", "tests", "topologies", "workloads")
ENDS_WITHIN_S = 100.0


def project(directory: Path) -> Path:
    """Make `directory` look like this project's. run.py is a copy: results are written beside it."""
    shutil.copy(ROOT / "run.py", directory)
    for name in _LINKED:
        (directory / name).symlink_to(ROOT / name)
    return directory


@contextmanager
def running(command: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """`command` in a terminal of its own, which is closed at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, shell=True, cwd=place, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def standing(command: str, place: Path) -> Iterator[subprocess.Popen[str]]:
    """`command` is a `run.py up` of two hosts; they are ready. Ctrl-C ends it unless it has ended."""
    with running(f"exec {command}", place) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("run up-")
        try:
            assert [up.stdout.readline().split()[0] for _ in range(2)] == ["h1", "h2"]
            yield up
        finally:
            if up.poll() is None:
                up.send_signal(signal.SIGINT)
            up.communicate(timeout=30)


def typed(command: str, place: Path) -> str:
    """What `command` prints; it ends well."""
    with running(command, place) as process:
        return finish(process)


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed; it ended well."""
    out, err = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == 0, err
    return out


def wait_for(process: subprocess.Popen[str], word: str, *, on_stderr: bool = False) -> None:
    """Until a line begins with `word`."""
    stream = process.stderr if on_stderr else process.stdout
    assert stream is not None
    assert any(line.startswith(word) for line in stream)
