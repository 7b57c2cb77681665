#!/usr/bin/env python3
"""Starts the command line, `commands.dispatch`, in the project's own environment.

In: words, and any python3 that has the standard library. Out: the same words in a Python that has the
packages, or one sentence on stderr; the exit status is the command's. Owns SIGINT, SIGTERM and
SIGHUP until a command takes them, and again when it has ended.
"""

# ruff: noqa: E402  the first lines must run on a Python that has none of the packages
from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import FrameType

_ENVIRONMENT = Path(__file__).resolve().parent / ".venv"
_PACKAGES = ("typer", "msgspec", "ray", "mininet", "numpy", "pandas", "matplotlib", "psutil", "jinja2")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _quit(signum: int, _frame: FrameType | None) -> None:
    """Until a command begins there is nothing to take down."""
    name = signal.Signals(signum).name
    os.write(2, f"run.py: stopped by {name} before anything was started\n".encode())
    os._exit(128 + signum)


def _use_environment() -> None:
    """Go on in the project's environment unless this Python has the packages."""
    if all(importlib.util.find_spec(name) for name in _PACKAGES):
        return
    python = _ENVIRONMENT / "bin" / "python"
    if Path(sys.prefix).resolve() == _ENVIRONMENT.resolve() or not python.exists():
        sys.exit("run.py: the Python packages are not installed; run `make setup` once")
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # what comes now is for the next Python's handlers
    os.execv(python, [str(python), *sys.argv])


for _number in _ENDING:
    if _number != signal.SIGHUP or signal.getsignal(_number) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(_number, _quit)
signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
_use_environment()

from commands.dispatch import main as main  # tests call run.main

if __name__ == "__main__":
    _status = main()
    # The command has ended as its status says; without its handlers Python's own end could be interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    sys.exit(_status)
